//! Decodes what the shim leaves in its output buffer. The guest is not trusted: any bytes may come.
//!
//! Formats are documented in `docs/formats/guest-abi.md`; the encoder is `guest/shim/belay.c`.

use belay_model::{Call, CallId, Category, Failure};
use serde::Deserialize;

/// What a waiting invocation hands out.
#[derive(Debug, PartialEq, Eq)]
pub struct Pending {
    pub calls: Vec<Call>,
    pub cancelled: Vec<CallId>,
}

/// Bytes that do not follow the format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest's message ends early or has bytes left over, at {at}")]
pub struct AbiError {
    at: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], AbiError> {
        let end = self.at.checked_add(len).ok_or(AbiError { at: self.at })?;
        let taken = self.bytes.get(self.at..end).ok_or(AbiError { at: self.at })?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, AbiError> {
        let at = self.at;
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| AbiError { at })
    }

    fn sized(&mut self) -> Result<&'a [u8], AbiError> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn text(&mut self) -> Result<String, AbiError> {
        Ok(String::from_utf8_lossy(self.sized()?).into_owned())
    }

    fn call(&mut self) -> Result<Call, AbiError> {
        let (id, op, args) = (CallId(self.u32()?), self.text()?, self.text()?);
        let body = if self.u32()? == 0 { None } else { Some(self.sized()?.to_vec()) };
        Ok(Call { id, op, args, body })
    }

    fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, AbiError>,
    ) -> Result<Vec<T>, AbiError> {
        // No capacity from the count: it is the guest's claim.
        (0..self.u32()?).map(|_| item(self)).collect()
    }
}

/// Reads a `PENDING` message.
pub fn decode_pending(bytes: &[u8]) -> Result<Pending, AbiError> {
    let mut reader = Reader { bytes, at: 0 };
    let calls = reader.list(Reader::call)?;
    let cancelled = reader.list(|r| r.u32().map(CallId))?;
    if reader.at == bytes.len() {
        Ok(Pending { calls, cancelled })
    } else {
        Err(AbiError { at: reader.at })
    }
}

/// What the prelude's `describe` says of a thrown value.
#[derive(Deserialize)]
struct Description {
    #[serde(rename = "type")]
    error_type: String,
    message: String,
    #[serde(default)]
    stack: String,
    #[serde(default)]
    dependency: bool,
    #[serde(default)]
    kind: Option<Category>,
}

/// Reads a `FAILED` message. What cannot be read is an exception without a description.
pub fn decode_failure(bytes: &[u8]) -> Failure {
    let described: Option<Description> = serde_json::from_slice(bytes).ok();
    let Some(d) = described else {
        return Failure::new(
            Category::Exception,
            "Error",
            "the thrown value could not be described",
        );
    };
    let category = match d.kind {
        Some(
            kind @ (Category::StackOverflow
            | Category::OutOfMemory
            | Category::Timeout
            | Category::Deadlock),
        ) => kind,
        _ if d.dependency => Category::Dependency,
        _ => Category::Exception,
    };
    let stack =
        d.stack.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned);
    Failure { category, error_type: d.error_type, message: d.message, stack: stack.collect() }
}
