//! The end of an invocation's log as `X-Amz-Log-Result` carries it: the last 4 KB of the text that AWS Lambda would
//! write, in base64.

use std::fmt::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::invoke::Completed;
use crate::{routes::Target, telemetry::RequestId};

const TAIL_BYTES: usize = 4096;

pub(super) fn log_result(target: &Target, request: RequestId, completed: &Completed) -> String {
    STANDARD.encode(last(&text(target, request, completed), TAIL_BYTES))
}

fn text(target: &Target, request: RequestId, completed: &Completed) -> String {
    let mut text = format!("START RequestId: {request} Version: {}\n", target.version);
    for line in &completed.logs {
        let (time, level, message) = (line.time, line.level.as_upper(), &line.message);
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{time}\t{request}\t{level}\t{message}");
        for frame in line.failure.iter().flat_map(|note| &note.stack) {
            let _ = writeln!(text, "    {frame}");
        }
    }
    let sample = &completed.sample;
    let milliseconds = sample.duration.as_secs_f64() * 1000.0;
    let _ = writeln!(
        text,
        "END RequestId: {request}\nREPORT RequestId: {request}\tDuration: {milliseconds:.2} ms\tBilled Duration: \
         {milliseconds:.0} ms\tMemory Size: {} MB\tMax Memory Used: {} MB",
        target.limits.memory_bytes >> 20,
        sample.peak_bytes.div_ceil(1 << 20),
    );
    text
}

/// The last `max` bytes at most, from a character's start.
fn last(text: &str, max: usize) -> &str {
    let from = text.len().saturating_sub(max);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_begins_with_a_whole_character() {
        assert_eq!(last("aäb", 2), "b");
        assert_eq!(last("aäb", 3), "äb");
        assert_eq!(last("ab", 9), "ab");
        assert_eq!(last("", 0), "");
    }
}
