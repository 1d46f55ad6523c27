//! What a tape does not hold, and that it can be replayed all the same.

use belay_engine::FunctionImage;
use belay_host::{
    Tape,
    tape::{Divergence, Gap, RecorderOptions, Redaction, Tolerance, Verdict, encode, prove},
};
use belay_model::Limits;
use serde_json::{Value, json};

use super::{body, candidate, divergence, recorded, replayed, tape_of};
use crate::{functions::deep, servers, world::World};

const EVENT: &str = r#"{"n":1.50,"password":"hunter2hunter2","headers":{"Authorization":"Bearer abcdefghij"},
    "user":{"email":"ann@example.org","api-key":"key-0123456"},"token":7,"cookies":["sid=sessionsession"]}"#;

fn holds(tape: &Tape, text: &str) -> bool {
    String::from_utf8(encode(tape)).unwrap().contains(text)
}

fn proven(image: &FunctionImage, tape: &mut Tape) -> bool {
    deep(|| prove(&candidate(image), tape, &Tolerance::default()).unwrap())
}

#[tokio::test]
async fn fields_and_headers_are_replaced_by_a_marker_of_their_type() {
    let world = World::new();
    let tape = tape_of(&world, &body("return event.n"), EVENT).await;
    let event: Value = serde_json::from_str(tape.event.as_str()).unwrap();
    let expected = json!({
        "n": 1.5, "password": "belay-redacted", "headers": { "Authorization": "belay-redacted" },
        "user": { "email": "ann@example.org", "api-key": "belay-redacted" }, "token": 0, "cookies": [],
    });
    assert_eq!(event, expected);
    assert!(tape.event.as_str().starts_with(r#"{"n":1.50,"#), "the digits and the order stay");
    assert!(tape.gaps.contains(&Gap::Redacted));
}

#[tokio::test]
async fn what_was_hidden_is_found_again_wherever_it_goes() {
    let web = servers::web().await;
    let world = World::reaching(&[&web.to_string()]);
    let image = body(&format!(
        "const [, bearer] = event.headers.Authorization.split(' ');
        await kv.put(`session:${{event.password}}`, {{ note: `by ${{event.password}}`, password: 'other-password' }});
        await http.post('http://{web}/echo?token=tok-123456&a=1', {{ all: [event.password], otp: 5 }},
            {{ headers: {{ cookie: 'c=cookiecookie', 'x-seen': event.password }} }});
        throw new Error(`no ${{event.password}}`)"
    ));
    let tape = tape_of(&world, &image, EVENT).await;
    let hidden = [
        "hunter2",
        "abcdefghij",
        "other-password",
        "tok-123456",
        "cookiecookie",
        "key-0123456",
        "sessionsession",
    ];
    for text in hidden {
        assert!(!holds(&tape, text), "{text}: {}", String::from_utf8_lossy(&encode(&tape)));
    }
    assert!(holds(&tape, "session:belay-redacted") && holds(&tape, "a=1"));
    assert_eq!(replayed(&image, &tape).verdict, Verdict::Same);
}

#[tokio::test]
async fn secrets_are_never_kept_in_any_form() {
    let web = servers::web().await;
    let world = World::with(|config| {
        config.egress = crate::world::reaching(&[&web.to_string()]);
        config.secrets = belay_host::SecretSource::new(|_| Some("p/ss w&rd?1".to_owned()));
    });
    let image = body(&format!(
        "const secret = await secrets.get('stripe');
        const query = new URLSearchParams({{ q: secret }});
        await kv.put('copy', {{ secret, encoded: btoa(secret) }});
        await fetch(`http://{web}/echo?${{query}}&r=${{encodeURIComponent(secret)}}`,
            {{ method: 'POST', body: `secret is ${{secret}}`, headers: {{ 'x-own': secret }} }});
        return [secret, (await kv.get('copy')).encoded]"
    ));
    let mut tape = tape_of(&world, &image, "{}").await;
    for form in ["p/ss w&rd", "p%2Fss", "cC9zcyB3JnJk"] {
        assert!(!holds(&tape, form), "{form}: {}", String::from_utf8_lossy(&encode(&tape)));
    }
    assert_eq!(tape.gaps, [Gap::Redacted, Gap::Secret].into());
    let _ = proven(&image, &mut tape);
}

#[tokio::test]
async fn a_failure_counts_once_the_tape_is_proven() {
    let world = World::new();
    let old = body("await kv.put('by', event.password); return event.password.length > 3");
    let mut tape = tape_of(&world, &old, EVENT).await;
    let fails = body("await kv.put('by', event.password); return null.x");
    let gaps = || Divergence::Gaps { gaps: [Gap::Redacted].into() };
    assert_eq!(divergence(&replayed(&fails, &tape)), &gaps());
    assert!(proven(&old, &mut tape));
    assert!(matches!(replayed(&fails, &tape).verdict, Verdict::Worse(_)));
    let names_it = body("throw new Error(`bad password ${event.password}`)");
    assert_eq!(divergence(&replayed(&names_it, &tape)), &gaps());
}

#[tokio::test]
async fn a_function_that_depends_on_what_is_hidden_is_not_proven() {
    let world = World::new();
    let image = body("return [...event.password].filter((c) => c === 'h').length");
    let mut tape = tape_of(&world, &image, EVENT).await;
    assert_eq!(divergence(&replayed(&image, &tape)), &Divergence::Gaps { gaps: tape.gaps.clone() });
    assert!(!proven(&image, &mut tape));
}

#[tokio::test]
async fn rules_can_be_given_and_leave_the_hosts_own_names_alone() {
    let world = World::new();
    let redaction = Redaction {
        fields: vec!["key".to_owned(), "value".to_owned()],
        paths: vec!["user.email".to_owned(), "json.deep.pin".to_owned()],
        headers: Vec::new(),
    };
    let options = RecorderOptions { redaction, ..RecorderOptions::default() };
    let image = body(
        "await kv.put('a', { deep: [{ pin: 1234 }], pin: 5, key: 'inner-secret' });
        await kv.list(); await kv.get('a'); return event.user.email",
    );
    let tape = recorded(&world, &image, EVENT, Limits::default(), options).await.1.unwrap();
    let expected = r#"{"json":{"deep":[{"pin":0}],"key":"belay-redacted","pin":5},"key":"a"}"#;
    assert_eq!(tape.effects[0].args.as_str(), expected);
    assert!(!holds(&tape, "inner-secret") && !holds(&tape, "ann@example"));
    assert!(holds(&tape, "hunter2hunter2"));
    assert_eq!(replayed(&image, &tape).verdict, Verdict::Same);
}
