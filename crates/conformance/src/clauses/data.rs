//! Data arrives as it was published.

use bowline_events::{Dialect, NewEvent, Payload};

use crate::reader::Reader;
use crate::session::{Session, json};
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Unmet};

const TOPIC: &str = "data";

/// No data, `null` and the undefined envelope are three different things.
pub async fn absent_null_and_undefined_stay_apart(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    session.publish(TOPIC, NewEvent::new("absent", "r")).await?;
    let absent = reader.event().await?;
    ensure!(
        absent.data.is_absent(),
        "absent data arrived as {:?}",
        absent.data
    );
    session
        .publish(TOPIC, NewEvent::new("null", "r").with_data(json("null")))
        .await?;
    let null = reader.event().await?;
    ensure!(!null.data.is_absent(), "null arrived as absent data");
    ensure_eq!(null.data.to_json()?, "null", "null");
    let undefined = r#"{"__m_codec__":"Undefined"}"#;
    session
        .publish(
            TOPIC,
            NewEvent::new("undefined", "r").with_data(json(undefined)),
        )
        .await?;
    let seen = reader.event().await?;
    if !seen.data.is_absent() && seen.data.dialect() == Dialect::Tagged {
        ensure_eq!(seen.data.to_json()?, undefined, "undefined");
    }
    session.finish().await
}

/// Every kind of JSON value arrives with the same text: number forms, escapes, empty and nested containers.
pub async fn json_arrives_unchanged(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let texts = [
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "1e400",
        "0.1",
        "1E+2",
        "9007199254740993",
        "12345678901234567890123",
        r#""""#,
        r#""\u0000\u001f\u007f""#,
        r#""\"\\\/\b\f\n\r\t""#,
        "\"żółw 🐢 \u{2028}\u{2029}\u{feff}\"",
        "[]",
        "{}",
        "[[],{},[{}]]",
        r#"{"":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"__proto__":{"x":1},"constructor":null}"#,
        r#"{"type":"publish","topic":"x","id":"y"}"#,
        r#"["\\n","\n"]"#,
    ];
    for text in texts {
        expect_same(&session, &mut reader, text, text).await?;
    }
    session.finish().await
}

/// A lone surrogate, which JavaScript writes as an escape, arrives as the same escape.
pub async fn lone_surrogates_survive(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    for text in [
        r#""\ud800x""#,
        r#""x\udfff""#,
        r#"{"\ud800":["\ud83d\ude00"]}"#,
    ] {
        expect_same(&session, &mut reader, text, text).await?;
    }
    session.finish().await
}

/// White space between the tokens, line feeds included, changes nothing and breaks no framing.
pub async fn pretty_printed_json_breaks_no_frame(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let pretty = "{\r\n\t\"a b\" : [ 1 ,\n 2 ],\n  \"c\":\" \\n \"\n}\n";
    expect_same(&session, &mut reader, pretty, r#"{"a b":[1,2],"c":" \n "}"#).await?;
    expect_same(&session, &mut reader, " 1 ", "1").await?;
    session.finish().await
}

/// Tagged values (dates, big integers, maps, sets, errors) arrive as they are on a bus that carries the tagged dialect.
pub async fn tagged_values_survive(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let texts = [
        r#"{"__m_codec__":"Date","v":"2026-01-02T03:04:05.678Z"}"#,
        r#"{"__m_codec__":"BigInt","v":"-123456789012345678901234567890"}"#,
        r#"{"__m_codec__":"Map","v":[["a",1],[{"k":1},{"__m_codec__":"Undefined"}]]}"#,
        r#"{"__m_codec__":"Set","v":[1,"a",{"__m_codec__":"Set","v":[]}]}"#,
        r#"{"__m_codec__":"Error","v":{"name":"TypeError","message":"bad","stack":"S"}}"#,
        r#"{"at":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.000Z"},"gone":{"__m_codec__":"Undefined"}}"#,
        r#"{"__m_codec__":"Nonsense","v":1}"#,
        r#"{"__m_codec__":7}"#,
    ];
    for text in texts {
        session
            .publish(TOPIC, NewEvent::new("tagged", "r").with_data(json(text)))
            .await?;
        let seen = reader.event().await?;
        if seen.data.dialect() == Dialect::Tagged {
            ensure_eq!(seen.data.to_json()?, text, "tagged value");
        }
    }
    session.finish().await
}

/// Nesting of 100 levels arrives whole.
pub async fn nested_data_arrives_whole(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let text = format!("{}1{}", open.repeat(100), close.repeat(100));
        expect_same(&session, &mut reader, &text, &text).await?;
    }
    session.finish().await
}

/// Data of every size up to 1 MiB (or half the limit, if that is less) arrives whole, around the sizes of usual buffers too.
pub async fn data_of_every_size_arrives_whole(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut reader = session.listen(TOPIC).await?;
    let most = session
        .capabilities
        .max_event_bytes
        .map_or(usize::MAX, |limit| limit / 2);
    let sizes = [
        2,
        3,
        1023,
        4095,
        4096,
        4097,
        8192,
        16_384,
        65_535,
        65_536,
        65_537,
        262_144,
        1024 * 1024,
    ];
    for size in sizes.into_iter().filter(|size| *size <= most) {
        let text = format!("\"{}\"", "x".repeat(size - 2));
        expect_same(&session, &mut reader, &text, &text).await?;
    }
    session.finish().await
}

/// A local value can be read as JSON by every subscriber, wherever it is.
pub async fn local_values_are_readable_everywhere(fixture: &dyn Fixture) -> ClauseResult {
    let session = Session::open(fixture, &[]).await?;
    let mut there = session.listen(TOPIC).await?;
    let mut here = session
        .subscribe_on(&session.publisher, TOPIC, Default::default())
        .await?;
    let value: Vec<u32> = (0..100).collect();
    session
        .publish(
            TOPIC,
            NewEvent::new("local", "r").with_data(Payload::local(value.clone())),
        )
        .await?;
    for reader in [&mut there, &mut here] {
        ensure_eq!(
            reader.event().await?.data.parse::<Vec<u32>>()?,
            value,
            "local value as JSON"
        );
    }
    session.finish().await
}

async fn expect_same(
    session: &Session,
    reader: &mut Reader,
    text: &str,
    wanted: &str,
) -> ClauseResult {
    session
        .publish(
            TOPIC,
            NewEvent::new("json", "r").with_data(json(text.to_owned())),
        )
        .await?;
    let event = reader
        .event()
        .await
        .map_err(|unmet| unmet.within(format!("data {}", shorten(text))))?;
    let seen = event.data.to_json()?;
    let seen = std::str::from_utf8(&seen)
        .map_err(|_| Unmet::violated(format!("data {} arrived as invalid UTF-8", shorten(text))))?;
    ensure!(
        compact(seen) == wanted,
        "data {} arrived as {} ({} bytes)",
        shorten(text),
        shorten(seen),
        seen.len()
    );
    Ok(())
}

/// `text` without the white space between its tokens.
fn compact(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&c| {
            let keep = inside || !matches!(c, ' ' | '\t' | '\r' | '\n');
            if c == '"' && !escaped {
                inside = !inside;
            }
            escaped = inside && c == '\\' && !escaped;
            keep
        })
        .collect()
}

fn shorten(text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    if shown.len() == text.len() {
        format!("{text:?}")
    } else {
        format!("{shown:?}... of {} bytes", text.len())
    }
}
