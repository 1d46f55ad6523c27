//! What a result counts as: one with a `statusCode` of 500 or more is an exception, with 400 to 499 the caller's fault.
//!
//! Most results have no `statusCode`; they cost one search for the word.

use belay_model::Category;
use serde::Deserialize;

use crate::telemetry::Ending;

/// Reads only the status of a result.
#[derive(Deserialize)]
struct Status {
    #[serde(rename = "statusCode", default)]
    status_code: Option<serde_json::Value>,
}

/// How an invocation with this result (a JSON text) counts.
pub fn ending_of(result: &str) -> Ending {
    status_of(result).map_or(Ending::Ok, ending_of_status)
}

/// How a status counts.
pub fn ending_of_status(status: u16) -> Ending {
    match status {
        500.. => Ending::Failed(Category::Exception),
        400..=499 => Ending::Failed(Category::InvalidInput),
        0..=399 => Ending::Ok,
    }
}

/// The `statusCode` of a result, if it is an object that has one and it is a number.
fn status_of(result: &str) -> Option<u16> {
    let may = result.starts_with('{') && result.contains("\"statusCode\"");
    let status = may.then(|| serde_json::from_str::<Status>(result).ok()).flatten()?;
    number(&status.status_code?)
}

/// 200, 200.0 and "200".
pub(super) fn number(value: &serde_json::Value) -> Option<u16> {
    match value {
        serde_json::Value::String(text) => text.parse().ok(),
        serde_json::Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0)?;
            let fits = (0.0..=f64::from(u16::MAX)).contains(&whole);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and within the range"
            )]
            fits.then_some(whole as u16)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn results() {
        let exception = Ending::Failed(Category::Exception);
        let invalid = Ending::Failed(Category::InvalidInput);
        let cases = [
            (r#"{"n":1}"#, Ending::Ok),
            (r#"{"statusCode":200}"#, Ending::Ok),
            (r#"{"statusCode":404,"body":"no"}"#, invalid),
            (r#"{"body":"no","statusCode":503.0}"#, exception),
            (r#"{"statusCode":"500"}"#, exception),
            (r#"{"statusCode":"many"}"#, Ending::Ok),
            (r#"{"statusCode":null}"#, Ending::Ok),
            (r#"{"deep":{"statusCode":500}}"#, Ending::Ok),
            (r#"[{"statusCode":500}]"#, Ending::Ok),
            (r#""\"statusCode\":500""#, Ending::Ok),
            ("null", Ending::Ok),
        ];
        for (result, ending) in cases {
            assert_eq!(ending_of(result), ending, "{result}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(result in "\\PC*|\\{\"statusCode\":\\PC{0,20}\\}") {
            let _ = ending_of(&result);
        }
    }
}
