//! What `build` refuses.

#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` is shorter than its reference"
)]

use serde_json::{Value, json};

use crate::schema::tests::{echo, order};
use crate::{
    Data, Error, ErrorKind, IntoStep, StepError, StepRegistry, Typed, TypedStep, Workflow, step,
    when,
};

type Untyped = TypedStep<Typed<Value>, Typed<Value>>;

/// A step that takes, and returns, what is said.
fn given(id: &str, input: Value, output: Value) -> Untyped {
    let step = echo(id).input_schema(&input).unwrap();
    step.output_schema(&output).unwrap()
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "number"})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn members(members: Value) -> Value {
    let required: Vec<&String> = members.as_object().unwrap().keys().collect();
    json!({"type": "object", "properties": members, "required": required})
}

#[track_caller]
fn refused(built: Result<Workflow, Error>, words: &str) {
    let error = built.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDefinition);
    assert_eq!(error.subject(), Some("w"));
    let expected = format!("{words}; change one of their schemas, or put a .map(..) between them");
    assert_eq!(error.message(), expected);
}

#[test]
fn two_steps_that_do_not_meet_are_named_with_the_place() {
    let priced = given("price", order(), members(json!({"total": number()})));
    let label = given("label", members(json!({"total": text()})), text());
    let words = "what the step \"price\" returns does not fit what the step \"label\" takes: at total, number comes where string is taken";
    let build = || Workflow::builder("w").step(priced.clone());
    refused(build().step(label.clone()).build(), words);
    let pause = std::time::Duration::from_secs(1);
    refused(build().sleep(pause).step(label.clone()).build(), words);
    let between = |value: Value| async move { Ok::<_, StepError>(value) };
    assert!(build().map(between).step(label).build().is_ok());
}

#[test]
fn what_is_not_declared_fits() {
    let takes = echo("b").input_schema(&text()).unwrap();
    assert!(
        Workflow::builder("w")
            .step(echo("a"))
            .step(takes)
            .build()
            .is_ok()
    );
    let returns = echo("a").output_schema(&text()).unwrap();
    assert!(
        Workflow::builder("w")
            .step(returns)
            .step(echo("b"))
            .build()
            .is_ok()
    );
}

#[test]
fn the_input_and_the_output_of_the_workflow_count_too() {
    let build = |input: Value, output: Value| {
        let builder = Workflow::builder("w").input_schema(&input)?;
        let builder = builder.output_schema(&output)?;
        builder.step(given("a", text(), number())).build()
    };
    assert!(build(text(), number()).is_ok());
    refused(
        build(number(), number()),
        "the input of the workflow does not fit what the step \"a\" takes: number comes where string is taken",
    );
    refused(
        build(text(), text()),
        "what the step \"a\" returns does not fit the output of the workflow: number comes where string is taken",
    );
}

#[test]
fn steps_side_by_side_return_an_object_of_theirs() {
    let build = |taken: Value| {
        let sides = [
            given("a", json!(true), text()),
            given("b", json!(true), number()),
        ];
        let builder = Workflow::builder("w").parallel(sides).untyped();
        builder.step(given("c", taken, json!(true))).build()
    };
    let problem = |problem: &str| {
        format!(
            "what the entry of the steps \"a\", \"b\" returns does not fit what the step \"c\" takes: {problem}"
        )
    };
    assert!(build(members(json!({"a": text(), "b": number()}))).is_ok());
    assert!(build(json!({"anyOf": [text(), members(json!({"a": text()}))]})).is_ok());
    refused(
        build(text()),
        &problem("object comes where string is taken"),
    );
    refused(
        build(members(json!({"d": {}}))),
        &problem("at d, there is never anything"),
    );
    // Both are always there, also where they need not be.
    refused(
        build(json!({"properties": {"b": text()}})),
        &problem("at b, number comes where string is taken"),
    );
    refused(
        build(json!({"properties": {"a": {}}, "additionalProperties": false})),
        &problem("at b, nothing may be there"),
    );
}

#[test]
fn branches_may_be_missing() {
    let build = |taken: Value| {
        let a = when(|_: &Value| true, given("a", number(), text()));
        let b = when(|_: &Value| true, given("b", number(), text()));
        let builder = Workflow::builder("w")
            .input_schema(&number())?
            .branch([a, b]);
        builder.step(given("c", taken, json!(true))).build()
    };
    assert!(build(json!({"properties": {"b": number()}})).is_ok());
    refused(
        build(members(json!({"b": number()}))),
        "what the entry of the steps \"a\", \"b\" returns does not fit what the step \"c\" takes: at b, string comes where number is taken",
    );
}

#[test]
fn each_element_of_an_array_counts() {
    let build = |array: Value, element: Value, taken: Value| {
        let builder = Workflow::builder("w")
            .step(echo("all").output_schema(&array).unwrap())
            .untyped();
        let builder = builder.foreach(given("one", element, text())).untyped();
        builder.step(given("end", taken, json!(true))).build()
    };
    assert!(build(list(number()), number(), list(text())).is_ok());
    // An empty array fits any elements.
    assert!(build(list(number()), number(), list(number())).is_ok());
    assert!(build(list(json!(false)), number(), list(number())).is_ok());
    let words =
        "what the step \"all\" returns does not fit an array of what the step \"one\" takes: ";
    refused(
        build(list(text()), number(), json!(true)),
        &format!("{words}at *, string comes where number is taken"),
    );
    refused(
        build(text(), json!(true), json!(true)),
        &format!("{words}string comes where array is taken"),
    );
    let words = "what the step \"one\" returns does not fit what the step \"end\" takes: ";
    refused(
        build(list(number()), number(), number()),
        &format!("{words}array comes where number is taken"),
    );
    let some = json!({"type": "array", "items": number(), "minItems": 1});
    refused(
        build(list(number()), number(), some),
        &format!("{words}at *, string comes where number is taken"),
    );
}

#[test]
fn a_loop_gets_what_it_returns() {
    let repeat = given("again", text(), number());
    let built = Workflow::builder("w")
        .do_while(repeat, |_: &Value| false)
        .build();
    refused(
        built,
        "what the step \"again\" returns does not fit what the step \"again\" takes: number comes where string is taken",
    );
}

#[test]
fn nested_workflows_are_what_they_declare_or_what_their_steps_are() {
    let plain = Workflow::builder("inner")
        .step(given("a", number(), text()))
        .build()
        .unwrap();
    let declared = Workflow::builder("inner")
        .input_schema(&number())
        .and_then(|it| it.output_schema(&text()))
        .and_then(|it| it.step(echo("a")).build())
        .unwrap();
    for inner in [plain, declared] {
        let number_first = Workflow::builder("w").step(echo("n").output_schema(&number()).unwrap());
        let built = number_first
            .step(inner.clone())
            .step(given("z", number(), text()))
            .build();
        refused(
            built,
            "what the workflow \"inner\" returns does not fit what the step \"z\" takes: string comes where number is taken",
        );
        let text_first = Workflow::builder("w").step(echo("t").output_schema(&text()).unwrap());
        refused(
            text_first.step(inner).build(),
            "what the step \"t\" returns does not fit what the workflow \"inner\" takes: string comes where number is taken",
        );
    }
}

#[test]
fn an_agent_has_what_it_returns_in_the_graph() {
    let schema =
        Data::from_json(r#"{ "type": "object", "properties": {"mood": {"type": "string"}} }"#)
            .unwrap();
    let written = r#"[{"type":"agent","id":"ask","agentId":"critic","outputSchema":{"type":"object","properties":{"mood":{"type":"string"}}}}]"#;
    for agent in [
        echo("ask").agent("critic").output_schema(&schema).unwrap(),
        echo("ask").output_schema(&schema).unwrap().agent("critic"),
    ] {
        let workflow = Workflow::builder("w").step(agent).build().unwrap();
        assert_eq!(workflow.to_graph().as_str(), written);
        let steps = StepRegistry::new().agent("critic", echo("any"));
        let read = Workflow::from_graph("w", &workflow.to_graph(), &steps).unwrap();
        assert_eq!(read.hash(), workflow.hash());
    }
}

#[test]
fn a_graph_is_refused_whose_steps_do_not_meet_but_not_to_look_at() {
    let graph = |schema: &str| {
        let json = format!(
            r#"[{{"type":"agent","id":"ask","agentId":"critic","outputSchema":{schema}}},
                {{"type":"step","step":{{"id":"count","canSuspend":false}}}}]"#
        );
        Data::from_json(json).unwrap()
    };
    let count = step("count", |n: u32| async move { Ok::<_, StepError>(n) }).into_step();
    let steps = StepRegistry::new()
        .agent("critic", echo("any"))
        .step(count.input_schema(&number()).unwrap());
    let text = graph(r#"{"type":"string"}"#);
    refused(
        Workflow::from_graph("w", &text, &steps),
        "what the step \"ask\" returns does not fit what the step \"count\" takes: string comes where number is taken",
    );
    assert!(Workflow::outline("w", &text).is_ok());
    // What another program says counts as far as it is understood.
    for odd in [
        r#"{"type":"number"}"#,
        r#"{"type":"none"}"#,
        "3",
        r#"{"def":{"type":"string"}}"#,
    ] {
        assert!(
            Workflow::from_graph("w", &graph(odd), &steps).is_ok(),
            "{odd}"
        );
    }
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert!(Workflow::from_graph("w", &graph(&deep), &steps).is_ok());
}
