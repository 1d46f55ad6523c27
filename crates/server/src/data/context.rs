//! The JSON object that becomes a handler's second argument (the guest adds functions and services to it).

use std::{borrow::Cow, fmt::Write};

use belay_model::{FunctionName, VersionNumber};
use serde_json::value::RawValue;

use super::name::Arn;
use crate::telemetry::{RequestId, TraceContext};

/// What a handler is told of its own invocation.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub app: &'a str,
    pub function: &'a FunctionName,
    pub version: VersionNumber,
    /// As the caller asked for it.
    pub qualifier: Option<&'a str>,
    pub request_id: RequestId,
    pub trace: TraceContext,
    pub memory_bytes: u64,
    /// Milliseconds since the epoch.
    pub deadline_ms: u64,
    /// What an AWS client sent as its client context: any JSON.
    pub client: Option<&'a RawValue>,
}

impl Context<'_> {
    /// Names, ids and numbers need no escaping, so the text is written as it is; this runs for every request.
    pub fn to_json(&self) -> String {
        let Self { app, function, version, request_id, trace, deadline_ms, .. } = self;
        // A caller's qualifier has been parsed, so it is a number, a name or `$LATEST`.
        let arn = Arn { app, function, qualifier: self.qualifier };
        let mib = self.memory_bytes >> 20;
        let client = self
            .client
            .map_or(Cow::Borrowed(""), |json| format!(",\"clientContext\":{json}").into());
        let mut json = String::with_capacity(448 + client.len());
        // Writing to a `String` cannot fail.
        let _ = write!(
            json,
            r#"{{"awsRequestId":"{request_id}","functionName":"{function}","functionVersion":"{version}","invokedFunctionArn":"{arn}","memoryLimitInMB":"{mib}","deadlineMs":{deadline_ms},"traceparent":"{trace}"{client}}}"#,
        );
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_json() {
        let client: Box<RawValue> = serde_json::from_str(r#"{"custom":{"a":"\""}}"#).unwrap();
        let context = Context {
            app: "shop",
            function: &"price".parse().unwrap(),
            version: VersionNumber::FIRST,
            qualifier: Some("$LATEST"),
            request_id: RequestId::from_random([7; 16]),
            trace: TraceContext::continued(None, [7; 24]),
            memory_bytes: 128 << 20,
            deadline_ms: 1_584_039_838_123,
            client: Some(&client),
        };
        let json: serde_json::Value = serde_json::from_str(&context.to_json()).unwrap();
        insta::assert_json_snapshot!(json);
        let json = Context { client: None, qualifier: None, ..context }.to_json();
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }
}
