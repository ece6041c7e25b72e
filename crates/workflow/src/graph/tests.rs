//! Graphs that are written and read again.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Text, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::outline::{Missing, MissingDuration};
use super::{MAX_DEPTH, StepRegistry};
use crate::builder::Trial;
use crate::definition::{
    Branch, Condition, Entry, Foreach, Loop, LoopKind, Mapping, Node, Options, Reference, Sleep,
    StepDefinition, StepKind, Until, Width,
};
use crate::machine::{Fact, Machine};
use crate::predicate::Predicate;
use crate::predicate::tests::any_predicate;
use crate::{
    Data, ErrorKind, IntoStep, RetryPolicy, RunStatus, StepContext, StepError, Workflow, step, when,
};

/// Graphs as the reference writes them.
const MEASURED: [&str; 12] = [
    r#"[]"#,
    r#"[{"type":"step","step":{"id":"a","description":"d","metadata":{"m":1,"a":2},"canSuspend":false}}]"#,
    r#"[{"type":"step","step":{"id":"a","canSuspend":true}},{"type":"parallel","steps":[{"type":"step","step":{"id":"p","canSuspend":false}},{"type":"step","step":{"id":"q","canSuspend":false}}]}]"#,
    r#"[{"type":"conditional","steps":[{"type":"step","step":{"id":"y","canSuspend":false}},{"type":"step","step":{"id":"n","canSuspend":false}}],"serializedConditions":[{"id":"y-condition","fn":"async()=>true"},{"id":"n-condition","fn":"async()=>false"}]}]"#,
    r#"[{"type":"loop","step":{"type":"step","step":{"id":"l","canSuspend":false}},"serializedCondition":{"id":"l-condition","fn":"async({inputData})=>inputData.n>3"},"loopType":"dountil"}]"#,
    r#"[{"type":"foreach","step":{"type":"step","step":{"id":"f","canSuspend":false}},"opts":{"concurrency":4}}]"#,
    r#"[{"type":"foreach","step":{"type":"step","step":{"id":"f","canSuspend":false}},"opts":{"fn":"({inputData})=>inputData.length"}}]"#,
    r#"[{"type":"sleep","id":"sleep_1","duration":100},{"type":"sleep","id":"sleep_2","fn":"()=>1\t"}]"#,
    r#"[{"type":"sleepUntil","id":"sleep_1","date":"1970-01-01T00:00:00.000Z"},{"type":"sleepUntil","id":"sleep_2","fn":"()=>new Date()"}]"#,
    r#"[{"type":"mapping","id":"mapping_w_0","mapConfig":"{\"a\":{\"step\":\"s\"}}"}]"#,
    r#"[{"type":"workflow","id":"inner","workflowId":"inner","serializedStepFlow":[{"type":"step","step":{"id":"i1","canSuspend":false}}]}]"#,
    r#"[{"type":"agent","id":"g","agentId":"writer","outputSchema":{"type":"object"},"options":{"z":1,"a":2}},{"type":"tool","id":"t","toolId":"search"},{"type":"classifier","id":"c","classifierId":"k"}]"#,
];

fn data(json: impl Into<String>) -> Data {
    Data::from_json(json.into()).unwrap()
}

fn outline(graph: &Data) -> Workflow {
    Workflow::outline("w", graph).unwrap()
}

#[test]
fn graphs_of_the_reference_stay_as_they_are() {
    for graph in MEASURED {
        assert_eq!(outline(&data(graph)).to_graph().as_str(), graph);
    }
}

#[test]
fn white_space_and_what_is_only_for_show_do_not_matter() {
    let graph = r#" [ { "type" : "step", "description": "x", "id": "shown",
        "step": { "id": "a", "metadata": { "k" : "a \" b" , "l": [ 1, 2 ] }, "canSuspend": false, "component": "STEP" } } ] "#;
    let expected = r#"[{"type":"step","step":{"id":"a","metadata":{"k":"a \" b","l":[1,2]},"canSuspend":false}}]"#;
    assert_eq!(outline(&data(graph)).to_graph().as_str(), expected);
}

#[test]
fn the_hash_is_that_of_the_json() {
    // Measured on the reference.
    let graph = r#"[{"type":"step","step":{"id":"a","canSuspend":false}}]"#;
    assert_eq!(outline(&data(graph)).hash(), "66558c417c7823f8");
    // printf '[]' | sha256sum
    assert_eq!(outline(&data("[]")).hash(), "4f53cda18c2baa0c");
    let nap = || {
        let nap = Workflow::builder("nap").sleep(Duration::from_secs(1));
        nap.build().unwrap()
    };
    assert_eq!(nap().hash(), nap().hash());
    assert_ne!(nap().hash(), outline(&data("[]")).hash());
}

type Done<T> = Result<T, StepError>;

async fn double(n: u32) -> Done<u32> {
    Ok(n * 2)
}

async fn show(n: u32) -> Done<String> {
    Ok(format!("<{n}>"))
}

#[test]
fn what_was_built_is_written_in_the_forms_of_the_reference() {
    let even = Predicate::Truthy {
        value: crate::Operand::path("inputData"),
    };
    let inner = Workflow::builder("inner").input::<u32>().output::<u32>();
    let workflow = Workflow::builder("all")
        .input::<u32>()
        .step(
            double
                .into_step()
                .description("twice")
                .metadata(&json!({ "m": 1 })),
        )
        .parallel((step("a", double), step("b", show).resumes::<u32>()))
        .map(|_: StepContext| async { Done::Ok(1_u32) })
        .branch([
            when(even, step("c", double)),
            when(|_: &u32| true, step("d", show)),
        ])
        .untyped()
        .step(inner.step(double).build_step().unwrap().id("in"))
        .do_while(step("e", double), |_: &u32| false)
        .map(|n: u32| async move { Done::Ok(vec![n]) })
        .foreach(step("f", show).tool("shower"))
        .concurrency(3)
        .sleep_by(|_: &StepContext| Duration::ZERO)
        .sleep_until(Timestamp::from_millis(-1))
        .build()
        .unwrap();
    let expected = concat!(
        r#"[{"type":"step","step":{"id":"double","description":"twice","metadata":{"m":1},"canSuspend":false}},"#,
        r#"{"type":"parallel","steps":[{"type":"step","step":{"id":"a","canSuspend":false}},{"type":"step","step":{"id":"b","canSuspend":true}}]},"#,
        r#"{"type":"mapping","id":"mapping_all_0","mapConfig":"[compiled function]"},"#,
        r#"{"type":"conditional","steps":[{"type":"step","step":{"id":"c","canSuspend":false}},{"type":"step","step":{"id":"d","canSuspend":false}}],"#,
        r#""serializedConditions":[{"id":"c-condition","fn":"[compiled function]"},{"id":"d-condition","fn":"[compiled function]"}],"#,
        r#""predicates":[{"op":"truthy","value":{"path":"inputData"}},null]},"#,
        r#"{"type":"workflow","id":"in","workflowId":"inner","serializedStepFlow":[{"type":"step","step":{"id":"double","canSuspend":false}}]},"#,
        r#"{"type":"loop","step":{"type":"step","step":{"id":"e","canSuspend":false}},"serializedCondition":{"id":"e-condition","fn":"[compiled function]"},"loopType":"dowhile"},"#,
        r#"{"type":"mapping","id":"mapping_all_1","mapConfig":"[compiled function]"},"#,
        r#"{"type":"foreach","step":{"type":"tool","id":"f","toolId":"shower"},"opts":{"concurrency":3}},"#,
        r#"{"type":"sleep","id":"sleep_all_0","fn":"[compiled function]"},"#,
        r#"{"type":"sleepUntil","id":"sleep_all_1","date":"1969-12-31T23:59:59.999Z"}]"#,
    );
    assert_eq!(workflow.to_graph().as_str(), expected);
    assert_eq!(
        outline(&workflow.to_outline()).to_graph().as_str(),
        expected
    );
}

#[tokio::test]
async fn a_graph_runs_with_registered_steps() {
    let graph = data(
        r#"[
        {"type":"step","step":{"id":"double"}},
        {"type":"loop","step":{"type":"tool","id":"t","toolId":"twice"},"loopType":"dowhile",
         "predicate":{"op":"lt","left":{"path":"inputData"},"right":{"literal":100}}},
        {"type":"conditional","predicates":[{"op":"gt","left":{"path":"stepResults.t"},"right":{"literal":0}},
                                            {"op":"exists","path":"state.never"}],
         "steps":[{"type":"step","step":{"id":"show"}},{"type":"agent","id":"x","agentId":"writer"}]},
        {"type":"workflow","id":"end","workflowId":"known","serializedStepFlow":[]},
        {"type":"sleep","id":"nap","duration":1500.0}]"#,
    );
    let known = Workflow::builder("known").map(|ctx: StepContext| async move {
        let value: Value = ctx.input()?;
        Done::Ok(value["show"].clone())
    });
    let steps = StepRegistry::new()
        .step(double)
        .step(show)
        .tool("twice", double)
        .agent("writer", show)
        .workflow(&known.build().unwrap());
    let workflow = Workflow::from_graph("w", &graph, &steps).unwrap();
    let mut trial = Trial::of(&workflow);
    assert_eq!(trial.start(&7).await.unwrap(), RunStatus::Success);
    assert_eq!(trial.result::<String>().unwrap().unwrap(), "<112>");
    assert_eq!(trial.elapsed(), Duration::from_millis(1500));
}

#[test]
fn what_a_graph_cannot_have_is_refused_with_its_entry() {
    let s = r#"{"type":"step","step":{"id":"double"}}"#;
    let cases = [
        (r#"7"#.to_owned(), "the graph"),
        (r#"{"graph":{}}"#.into(), "the graph"),
        (r#"[7]"#.into(), "the entry 0 "),
        (
            format!(r#"[{s},{{"type":"step","step":{{"id":"other"}}}}]"#),
            "the entry 1 calls the step \"other\"",
        ),
        (
            format!(r#"[{s},{{"type":"dance"}}]"#),
            "the entry 1 has the type \"dance\"",
        ),
        (
            format!(
                r#"[{{"type":"parallel","steps":[{s},{{"type":"sleep","id":"x","duration":1}}]}}]"#
            ),
            "the entry 0.steps.1 has the type \"sleep\"",
        ),
        (
            format!(
                r#"[{{"type":"conditional","steps":[{s}],"serializedConditions":[{{"id":"c","fn":"()=>1"}}]}}]"#
            ),
            "the entry 0 has the condition of \"double\"",
        ),
        (
            format!(r#"[{{"type":"conditional","steps":[{s}],"predicates":[null,null]}}]"#),
            "the entry 0 has 2 predicates for 1 steps",
        ),
        (
            format!(r#"[{{"type":"conditional","steps":[{s}],"predicates":[{{"op":"like"}}]}}]"#),
            "the entry 0 is not as it has to be: predicates.0",
        ),
        (
            format!(
                r#"[{{"type":"loop","step":{s},"loopType":"dountil","serializedCondition":{{"id":"c","fn":"()=>1"}}}}]"#
            ),
            "the entry 0 has the condition of \"double\"",
        ),
        (
            format!(r#"[{{"type":"loop","step":{s},"loopType":"forever"}}]"#),
            "the entry 0 is not as it has to be: loopType",
        ),
        (
            format!(r#"[{{"type":"foreach","step":{s},"opts":{{"fn":"()=>1"}}}}]"#),
            "the entry 0 has the concurrency over \"double\"",
        ),
        (
            r#"[{"type":"mapping","id":"m","mapConfig":"()=>1"}]"#.into(),
            "the entry 0 has the mapping \"m\"",
        ),
        (
            r#"[{"type":"sleep","id":"z","fn":"()=>1"}]"#.into(),
            "the entry 0 has the length of the sleep \"z\"",
        ),
        (
            r#"[{"type":"sleep","id":"z","duration":-1}]"#.into(),
            "the entry 0 sleeps -1 ms",
        ),
        (
            r#"[{"type":"sleepUntil","id":"z","date":"tomorrow"}]"#.into(),
            "the entry 0 has the date \"tomorrow\"",
        ),
        (
            r#"[{"type":"tool","id":"t"}]"#.into(),
            "the entry 0 has no member \"toolId\"",
        ),
        (
            r#"[{"type":"tool","id":"t","toolId":"double"}]"#.into(),
            "the entry 0 calls the tool \"double\"",
        ),
        (
            format!(
                r#"[{{"type":"workflow","id":"n","workflowId":"n","serializedStepFlow":[{s},7]}}]"#
            ),
            "the entry 0.serializedStepFlow.1 ",
        ),
        (format!("[{s},{s}]"), "\"double\" is used twice"),
        (
            r#"[{"type":"parallel","steps":[]}]"#.into(),
            "entry 0 has no branches",
        ),
    ];
    let steps = StepRegistry::new().step(double);
    for (graph, named) in cases {
        let error = Workflow::from_graph("w", &data(graph.clone()), &steps).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDefinition, "{graph}");
        assert!(error.message().contains(named), "{graph}: {error}");
        assert_eq!(error.subject(), Some("w"), "{graph}");
    }
}

#[test]
fn a_graph_is_not_deeper_than_the_limit() {
    let nested = |depth: usize| {
        let mut graph = String::new();
        for i in 0..depth {
            graph += &format!(
                r#"[{{"type":"workflow","id":"w{i}","workflowId":"w","serializedStepFlow":"#
            );
        }
        data(graph + "[]" + &"}]".repeat(depth))
    };
    let deepest = outline(&nested(MAX_DEPTH));
    assert_eq!(deepest.to_graph(), nested(MAX_DEPTH));
    for depth in [MAX_DEPTH + 1, 1000] {
        let error = Workflow::outline("w", &nested(depth)).unwrap_err();
        assert!(error.message().contains("64 deep"), "{error}");
    }
}

#[tokio::test]
async fn the_steps_of_an_outline_fail_and_say_why() {
    let workflow = Workflow::builder("w")
        .input::<u32>()
        .step(double)
        .build()
        .unwrap();
    let mut trial = Trial::of(&outline(&workflow.to_outline()));
    assert_eq!(trial.start(&1).await.unwrap(), RunStatus::Failed);
    let error: Value = trial.error().unwrap().parse().unwrap();
    assert_eq!(error["name"], "NotFound");
    assert!(error["message"].as_str().unwrap().contains("\"double\""));
}

#[test]
fn an_outline_keeps_what_decides_about_further_attempts() {
    let policy = RetryPolicy::times(3)
        .delay(Duration::from_nanos(1))
        .backoff(2);
    let own = policy.longest(Duration::from_secs(1));
    let workflow = Workflow::builder("w")
        .input::<u32>()
        .retries(policy)
        .max_crashes(7)
        .step(double.into_step().retries(own))
        .build()
        .unwrap();
    let read = outline(&workflow.to_outline());
    assert_eq!(read.definition().retry, policy);
    assert_eq!(read.definition().options.max_crashes, 7);
    let step = read.entry(0).unwrap().step(None).unwrap();
    assert_eq!(step.retry, Some(own));
    let without = outline(&workflow.to_graph());
    assert_eq!(without.definition().retry, RetryPolicy::NEVER);
}

#[tokio::test]
async fn an_outline_replays_the_journal_of_the_workflow_that_it_is_of() {
    async fn third(ctx: StepContext, n: u32) -> Done<u32> {
        match ctx.attempt() {
            2 => Ok(n),
            _ => Err(StepError::fail("NotYet", "not yet")),
        }
    }
    async fn ask(ctx: StepContext, n: u32) -> Done<u32> {
        let answer = ctx.resumed::<u32>()?;
        answer.map(|m| n + m).ok_or_else(|| ctx.suspend(&n))
    }
    let inner = Workflow::builder("inner").input::<u32>().output::<u32>();
    let inner = inner.retries(RetryPolicy::times(2)).step(third).step(ask);
    let workflow = Workflow::builder("w")
        .input::<u32>()
        .retries(RetryPolicy::times(2).delay(Duration::from_secs(1)))
        .step(step("first", third))
        .branch([
            when(|n: &u32| *n > 0, step("yes", double)),
            when(|n: &u32| *n == 0, step("no", double)),
        ])
        .map(|ctx: StepContext| async move {
            ctx.output_of::<u32>("yes").map(Option::unwrap_or_default)
        })
        .do_until(step("grow", double), |n: &u32| *n > 50)
        .step(inner.build_step().unwrap())
        .sleep_by(|n: &u32| Duration::from_secs((*n).into()))
        .map(|n: u32| async move { Done::Ok(vec![n, n]) })
        .foreach(double)
        .concurrency_by(|_: &StepContext| 2_usize)
        .build()
        .unwrap();
    let mut trial = Trial::of(&workflow);
    assert_eq!(trial.start(&5).await.unwrap(), RunStatus::Suspended);
    let resume = crate::Resume::with(&20).unwrap();
    assert_eq!(trial.resume(resume).await.unwrap(), RunStatus::Success);

    let journal = serde_json::to_string(&trial.facts).unwrap();
    let facts: Vec<Fact> = serde_json::from_str(&journal).unwrap();
    let mut machine = Machine::new("trial".into(), outline(&workflow.to_outline()));
    for fact in &facts {
        machine.apply(fact).unwrap();
    }
    assert_eq!(machine.status(), RunStatus::Success);
    assert_eq!(machine.result().map(Data::as_str), Some("[200,200]"));
    assert_eq!(machine.steps(), trial.steps());
}

/// A graph in the making, without ids.
#[derive(Debug, Clone)]
enum Sketch {
    Step(Option<String>, bool, bool),
    Call(StepKind),
    Nested(Vec<Sketch>),
    Map(String),
    Parallel(Vec<Sketch>),
    Branch(Vec<(Sketch, Test)>),
    Foreach(Box<Sketch>, Result<usize, String>),
    Loop(Box<Sketch>, Test, bool),
    Sleep(Result<u32, String>),
    SleepUntil(Result<i32, String>),
}

/// A predicate, or the source of a function.
type Test = Result<Predicate, String>;

/// Numbers the nodes of sketches.
#[derive(Default)]
struct Draw {
    ids: usize,
    /// Whether something cannot be loaded from a graph.
    has_functions: bool,
}

impl Draw {
    fn id(&mut self) -> Text {
        self.ids += 1;
        format!("n{}", self.ids).into()
    }

    fn missing(&mut self, source: String) -> Arc<Missing> {
        self.has_functions = true;
        Missing::new(source)
    }

    fn test(&mut self, test: Test) -> Condition {
        match test {
            Ok(predicate) => Condition::Predicate(Arc::new(predicate)),
            Err(source) => Condition::Function(self.missing(source)),
        }
    }

    fn workflow(&mut self, id: Text, sketches: Vec<Sketch>) -> Workflow {
        let entries = sketches
            .into_iter()
            .map(|sketch| self.entry(sketch))
            .collect();
        Workflow::new(id, entries, RetryPolicy::times(1), Options::default()).unwrap()
    }

    fn definition(&mut self, kind: StepKind) -> StepDefinition {
        StepDefinition {
            id: self.id(),
            description: None,
            can_suspend: false,
            resumes: None,
            retry: None,
            function: Missing::new(crate::definition::COMPILED.to_owned()),
            metadata: None,
            kind,
        }
    }

    fn node(&mut self, sketch: Sketch) -> Node {
        match sketch {
            Sketch::Step(description, can_suspend, retried) => {
                let mut step = self.definition(StepKind::Step);
                step.metadata = description.as_ref().map(|text| Data::of(text).unwrap());
                step.description = description.map(Text::from);
                step.can_suspend = can_suspend;
                step.retry = retried.then(|| RetryPolicy::times(2));
                Node::Step(Arc::new(step))
            }
            Sketch::Call(kind) => Node::Step(Arc::new(self.definition(kind))),
            Sketch::Nested(inner) => {
                let id = self.id();
                let workflow = self.workflow(format!("of-{id}").into(), inner);
                Node::Workflow { id, workflow }
            }
            other => panic!("{other:?} is no node"),
        }
    }

    fn entry(&mut self, sketch: Sketch) -> Entry {
        match sketch {
            Sketch::Map(source) => {
                let mut step = self.definition(StepKind::Step);
                step.function = self.missing(source);
                Entry::Map(Mapping {
                    step: Arc::new(step),
                })
            }
            Sketch::Parallel(all) => {
                Entry::Parallel(all.into_iter().map(|sketch| self.node(sketch)).collect())
            }
            Sketch::Branch(all) => {
                let branch = |(sketch, test)| Branch {
                    node: self.node(sketch),
                    condition: self.test(test),
                };
                Entry::Branch(all.into_iter().map(branch).collect())
            }
            Sketch::Foreach(sketch, width) => Entry::Foreach(Foreach {
                node: self.node(*sketch),
                width: match width {
                    Ok(width) => Width::Fixed(width),
                    Err(source) => Width::Function(self.missing(source)),
                },
            }),
            Sketch::Loop(sketch, test, again) => Entry::Loop(Loop {
                node: self.node(*sketch),
                condition: self.test(test),
                kind: if again {
                    LoopKind::DoWhile
                } else {
                    LoopKind::DoUntil
                },
            }),
            Sketch::Sleep(until) => {
                let until = match until {
                    Ok(millis) => Until::Duration(Duration::from_millis(millis.into())),
                    Err(source) => Until::Function(Arc::new(MissingDuration(self.missing(source)))),
                };
                let id = self.id();
                Entry::Sleep(Sleep { id, until })
            }
            Sketch::SleepUntil(until) => {
                let until = match until {
                    Ok(millis) => Until::Instant(Timestamp::from_millis(millis.into())),
                    Err(source) => Until::Function(self.missing(source)),
                };
                let id = self.id();
                Entry::Sleep(Sleep { id, until })
            }
            node => Entry::Step(self.node(node)),
        }
    }
}

fn any_kind() -> impl Strategy<Value = StepKind> {
    let json = || {
        prop::option::of(
            any::<Option<bool>>().prop_map(|value| Data::of(&json!({ "k": value })).unwrap()),
        )
    };
    let make = prop_oneof![
        Just(StepKind::Agent as fn(Reference) -> StepKind),
        Just(StepKind::Tool as fn(Reference) -> StepKind),
        Just(StepKind::Classifier as fn(Reference) -> StepKind),
    ];
    (make, json(), json()).prop_map(|(make, output_schema, options)| {
        let id = "called".into();
        make(Reference {
            id,
            output_schema,
            options,
        })
    })
}

fn any_test() -> impl Strategy<Value = Test> {
    prop_oneof![any_predicate().prop_map(Ok), any::<String>().prop_map(Err)]
}

fn or_source<T>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Result<T, String>>
where
    T: std::fmt::Debug,
{
    prop_oneof![3 => strategy.prop_map(Ok), 1 => ".{0,4}".prop_map(Err)]
}

fn any_node() -> impl Strategy<Value = Sketch> {
    let step = (
        prop::option::of(any::<String>()),
        any::<bool>(),
        any::<bool>(),
    );
    let leaf = prop_oneof![
        step.prop_map(|(text, suspends, retried)| Sketch::Step(text, suspends, retried)),
        any_kind().prop_map(Sketch::Call),
    ];
    leaf.prop_recursive(3, 12, 3, |node| {
        prop::collection::vec(any_entry(node), 0..3).prop_map(Sketch::Nested)
    })
}

fn any_entry(
    node: impl Strategy<Value = Sketch> + Clone + 'static,
) -> impl Strategy<Value = Sketch> {
    let boxed = || node.clone().prop_map(Box::new);
    let nodes = prop::collection::vec(node.clone(), 1..3);
    let branches = prop::collection::vec((node.clone(), any_test()), 1..3);
    prop_oneof![
        node.clone(),
        ".{0,4}".prop_map(Sketch::Map),
        nodes.prop_map(Sketch::Parallel),
        branches.prop_map(Sketch::Branch),
        (boxed(), or_source(1_usize..9)).prop_map(|(node, width)| Sketch::Foreach(node, width)),
        (boxed(), any_test(), any::<bool>())
            .prop_map(|(node, test, again)| Sketch::Loop(node, test, again)),
        or_source(any::<u32>()).prop_map(Sketch::Sleep),
        or_source(any::<i32>()).prop_map(Sketch::SleepUntil),
    ]
}

fn any_workflow() -> impl Strategy<Value = (Workflow, bool, usize)> {
    prop::collection::vec(any_entry(any_node().boxed()), 0..4).prop_map(|sketches| {
        let mut draw = Draw::default();
        let workflow = draw.workflow("w".into(), sketches);
        (workflow, draw.has_functions, draw.ids)
    })
}

/// Everything that a drawn workflow calls.
fn registry(ids: usize) -> StepRegistry {
    let called = |_: StepContext| async { Done::Ok(()) };
    let steps = StepRegistry::new()
        .agent("called", called)
        .tool("called", called)
        .classifier("called", called);
    (1..=ids).fold(steps, |steps, i| steps.step(step(format!("n{i}"), called)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every workflow is written and read again without a loss, and its graph is refused only for functions, or for steps that cannot meet.
    #[test]
    fn what_is_written_is_read_again((workflow, has_functions, ids) in any_workflow()) {
        let (graph, whole) = (workflow.to_graph(), workflow.to_outline());
        let read = outline(&whole);
        prop_assert_eq!(&read.to_outline(), &whole);
        prop_assert_eq!(&read.to_graph(), &graph);
        prop_assert_eq!(read.hash(), workflow.hash());
        prop_assert_eq!(&outline(&graph).to_graph(), &graph);
        let loaded = Workflow::from_graph("w", &graph, &registry(ids));
        match loaded {
            Ok(loaded) => {
                prop_assert!(!has_functions);
                prop_assert_eq!(loaded.to_graph(), graph);
            }
            // What is drawn need not fit together.
            Err(error) if error.message().contains("does not fit") => {
                prop_assert!(cfg!(feature = "schema"), "{}", error);
            }
            Err(error) => {
                prop_assert!(has_functions, "{}", error);
                prop_assert!(error.message().contains("the entry "), "{}", error);
            }
        }
    }

    /// A graph that somebody damaged is refused, or is another graph.
    #[test]
    fn a_damaged_graph_does_no_harm(
        (workflow, _, _) in any_workflow(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:0-9a-z]{0,2}"), 1..4),
    ) {
        let mut text: Vec<char> = workflow.to_graph().as_str().chars().collect();
        for (at, insert) in cuts {
            let at = at.index(text.len());
            text.splice(at..=at, insert.chars());
            if text.is_empty() {
                break;
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(graph) = Data::from_json(text)
            && let Ok(read) = Workflow::outline("w", &graph)
        {
            let again = read.to_graph();
            prop_assert_eq!(outline(&again).to_graph(), again);
        }
    }
}
