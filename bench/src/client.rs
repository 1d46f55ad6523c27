//! A client for one kept-alive HTTP/1.1 connection: just enough to time a call with nothing else in between.
//!
//! Knows what the servers measured here send: one length or chunks, no trailers. Every read and write
//! ends after [`PATIENCE`].

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// How the end of a body is told.
enum Framing {
    Length(usize),
    Chunked,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Posts, and insists on the answer.
    pub(crate) fn expect(&mut self, path: &str, json: &str, expected: &str) -> anyhow::Result<()> {
        let body = self.ask(path, json)?;
        ensure!(body == expected, "{path} answered {body:?}");
        Ok(())
    }

    /// Posts, and insists on success.
    pub(crate) fn ask(&mut self, path: &str, json: &str) -> anyhow::Result<String> {
        let Answer { status, body } = self.post(path, json)?;
        ensure!(status == 200, "{path} answered {status} {body:?}");
        Ok(body)
    }

    /// Gets, and insists on success.
    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let Answer { status, body } = self.answer()?;
        ensure!(status == 200, "{path} answered {status} {body:?}");
        Ok(body)
    }

    /// Puts, and insists on success.
    pub(crate) fn put(&mut self, path: &str, json: &str) -> anyhow::Result<()> {
        self.change("PUT", path, json)
    }

    /// Deletes, and insists on success.
    pub(crate) fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        self.change("DELETE", path, "")
    }

    fn change(&mut self, method: &str, path: &str, json: &str) -> anyhow::Result<()> {
        let Answer { status, body } = self.send(method, path, json)?;
        ensure!((200..300).contains(&status), "{method} {path} answered {status} {body:?}");
        Ok(())
    }

    fn post(&mut self, path: &str, json: &str) -> anyhow::Result<Answer> {
        self.send("POST", path, json)
    }

    fn send(&mut self, method: &str, path: &str, json: &str) -> anyhow::Result<Answer> {
        let (address, length) = (self.address, json.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{json}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let status = self.line()?;
        let status =
            status.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        let mut framing = Framing::Length(0);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                framing = Framing::Length(value.trim().parse()?);
            } else if line.strip_prefix("transfer-encoding:").is_some() {
                framing = Framing::Chunked;
            }
        }
        let body = match framing {
            Framing::Length(length) => self.bytes(length)?,
            Framing::Chunked => self.chunks()?,
        };
        Ok(Answer { status, body: String::from_utf8(body)? })
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16)?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn bytes(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }
}
