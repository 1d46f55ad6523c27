//! The names by which AWS clients call a function: a bare name, `app.function`, either with `:qualifier`, a partial
//! ARN (`account:function:name`) or a full one (`arn:aws:lambda:region:account:function:name`), with `:qualifier`.
//!
//! Region and account are not looked at: a Belay server is one place.

use std::fmt;

use belay_model::{FunctionName, FunctionRef, NameError, Qualifier};

/// The account that Belay gives itself in ARNs and events.
pub const ACCOUNT: &str = "000000000000";
/// The region that Belay gives itself in ARNs.
pub const REGION: &str = "local";

/// A function and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionTarget {
    pub function: FunctionRef,
    pub qualifier: Qualifier,
}

/// Why a text names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0:?} is not the ARN of a function")]
    Arn(String),
    #[error("the name asks for the qualifier {in_name:?}, and the parameter for {parameter:?}")]
    Qualifiers { in_name: String, parameter: String },
}

/// Names longer than this are refused unread; AWS allows 170 characters.
const NAME_MAX: usize = 256;

impl FunctionTarget {
    /// Reads `name` and the separate qualifier, which must agree if both are given.
    pub fn parse(name: &str, parameter: Option<&str>) -> Result<Self, TargetError> {
        if name.len() > NAME_MAX {
            let start = name.chars().take(NAME_MAX).collect();
            return Err(TargetError::Arn(start));
        }
        let (function, in_name) = split(name)?;
        let qualifier = match (in_name, parameter) {
            (Some(a), Some(b)) if a != b => {
                let (in_name, parameter) = (a.to_owned(), b.to_owned());
                return Err(TargetError::Qualifiers { in_name, parameter });
            }
            (Some(one), _) | (None, Some(one)) => one.parse()?,
            (None, None) => Qualifier::Live,
        };
        Ok(Self { function: function.parse()?, qualifier })
    }
}

/// The function part and the qualifier part of a name.
fn split(name: &str) -> Result<(&str, Option<&str>), TargetError> {
    let not_an_arn = || TargetError::Arn(name.to_owned());
    let parts: Vec<&str> = name.split(':').collect();
    match parts[..] {
        [function] => Ok((function, None)),
        ["arn", _, "lambda", _, _, "function", function] => Ok((function, None)),
        ["arn", _, "lambda", _, _, "function", function, qualifier] => {
            Ok((function, Some(qualifier)))
        }
        [account, "function", function] if is_account(account) => Ok((function, None)),
        [account, "function", function, qualifier] if is_account(account) => {
            Ok((function, Some(qualifier)))
        }
        [function, qualifier] => Ok((function, Some(qualifier))),
        _ => Err(not_an_arn()),
    }
}

fn is_account(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A function's ARN, as it is shown to functions and in messages.
#[derive(Debug, Clone, Copy)]
pub struct Arn<'a> {
    pub app: &'a str,
    pub function: &'a FunctionName,
    pub qualifier: Option<&'a str>,
}

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, function, qualifier } = self;
        write!(f, "arn:aws:lambda:{REGION}:{ACCOUNT}:function:{app}.{function}")?;
        qualifier.map_or(Ok(()), |qualifier| write!(f, ":{qualifier}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(name: &str, parameter: Option<&str>) -> String {
        match FunctionTarget::parse(name, parameter) {
            Ok(target) => format!("{} {:?}", target.function, target.qualifier),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn names() {
        let names = [
            ("price", None),
            ("shop.price", None),
            ("price:3", None),
            ("shop.price:blue", None),
            ("price:$LATEST", None),
            ("price", Some("7")),
            ("price:7", Some("7")),
            ("price:7", Some("8")),
            ("123456789012:function:price", None),
            ("123456789012:function:shop.price:live", None),
            ("arn:aws:lambda:eu-central-1:123456789012:function:price", None),
            ("arn:aws-cn:lambda:cn-north-1:123456789012:function:shop.price:2", None),
            ("arn:aws:s3:::bucket", None),
            ("arn:aws:lambda:eu-central-1:123456789012:layer:price", None),
            ("price:0", None),
            ("price:-", None),
            ("", None),
            ("a.b.c", None),
            ("../etc/passwd", None),
            ("a:b:c", None),
            ("x:function:y", None),
        ];
        let lines: Vec<_> = names
            .iter()
            .map(|(name, parameter)| format!("{name} {parameter:?} → {}", check(name, *parameter)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn what_belay_writes_it_reads(app in "[a-z][a-z0-9_-]{0,20}", function in "[a-zA-Z][a-z0-9_-]{0,20}", version in 1_u32..) {
            let (name, version) = (function.parse().unwrap(), version.to_string());
            let arn = Arn { app: &app, function: &name, qualifier: Some(&version) }.to_string();
            let target = FunctionTarget::parse(&arn, None).unwrap();
            prop_assert_eq!(target.function.to_string(), format!("{app}.{function}"));
            prop_assert_eq!(target.qualifier, version.parse::<Qualifier>().unwrap());
        }

        #[test]
        fn parsing_never_panics(name in "\\PC*|[a-z0-9:.$]{0,40}", parameter in proptest::option::of("\\PC*")) {
            let _ = FunctionTarget::parse(&name, parameter.as_deref());
        }
    }
}
