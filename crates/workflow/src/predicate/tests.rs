//! When predicates hold.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::evaluate::Roots;
use super::{Operand, Predicate, Scalar};
use crate::{Data, StepContext};

#[derive(Debug, Default)]
struct Given {
    roots: HashMap<String, Data>,
    outputs: HashMap<String, Data>,
}

impl Roots for Given {
    fn root(&self, name: &str) -> Option<Data> {
        self.roots.get(name).cloned()
    }

    fn output(&self, id: &str) -> Option<Data> {
        self.outputs.get(id).cloned()
    }
}

fn given() -> Given {
    let data = |value: Value| Data::from(value);
    let input = json!({
        "n": 5, "big": 9_007_199_254_740_993_u64, "f": 5.0, "text": "abc", "empty": "", "zero": 0, "no": false,
        "null": null, "list": [1, { "a": 2 }], "object": { "n": 5 },
    });
    Given {
        roots: [
            ("inputData", input),
            ("initData", json!("start")),
            ("state", json!({})),
        ]
        .map(|(name, value)| (name.to_owned(), data(value)))
        .into(),
        outputs: [
            ("a", json!({ "ok": true })),
            ("b.c", json!([7])),
            ("gone", json!(null)),
        ]
        .map(|(id, value)| (id.to_owned(), data(value)))
        .into(),
    }
}

fn holds(predicate: Value) -> bool {
    let predicate: Predicate = serde_json::from_value(predicate).unwrap();
    predicate.holds_for(&given())
}

fn compare(op: &str, path: &str, literal: impl Into<Value>) -> bool {
    let literal: Value = literal.into();
    holds(json!({ "op": op, "left": { "path": path }, "right": { "literal": literal } }))
}

#[test]
fn scalars_are_compared_by_their_kind() {
    for (op, path, literal, expected) in [
        ("eq", "inputData.n", json!(5), true),
        ("eq", "inputData.n", json!(5.0), true),
        ("eq", "inputData.n", json!("5"), false),
        (
            "eq",
            "inputData.big",
            json!(9_007_199_254_740_992_u64),
            false,
        ),
        ("eq", "inputData.text", json!("abc"), true),
        ("eq", "inputData.null", json!(null), true),
        ("eq", "inputData.no", json!(false), true),
        ("eq", "inputData.no", json!(0), false),
        ("eq", "inputData.object", json!(null), false),
        ("eq", "initData", json!("start"), true),
        ("ne", "inputData.n", json!(6), true),
        ("ne", "inputData.n", json!(5), false),
        ("ne", "inputData.object", json!(5), true),
        ("ne", "inputData.n", json!("5"), true),
        ("lt", "inputData.n", json!(6), true),
        ("lt", "inputData.n", json!(5), false),
        ("lt", "inputData.n", json!("6"), false),
        ("lte", "inputData.f", json!(5), true),
        ("gt", "inputData.n", json!(4.5), true),
        ("gt", "inputData.text", json!("abb"), true),
        (
            "gte",
            "inputData.big",
            json!(9_007_199_254_740_993_u64),
            true,
        ),
        (
            "gt",
            "inputData.big",
            json!(9_007_199_254_740_992_u64),
            true,
        ),
        ("gte", "inputData.null", json!(null), false),
        ("eq", "inputData.list.0", json!(1), true),
        ("eq", "inputData.list.1.a", json!(2), true),
        ("eq", "stepResults.a.ok", json!(true), true),
        ("eq", "stepResults.b.c.0", json!(7), true),
    ] {
        let found = compare(op, path, literal.clone());
        assert_eq!(found, expected, "{path} {op} {literal}");
    }
}

#[test]
fn what_is_not_there_makes_every_operation_false() {
    let missing = [
        "inputData.missing",
        "inputData.n.deeper",
        "inputData.list.2",
        "inputData.list.-1",
        "inputData.list.length",
        "state.x",
        "stepResults.gone",
        "stepResults.gone.x",
        "stepResults.unknown",
        "stepResults",
        "elsewhere.n",
        "",
        ".",
    ];
    for path in missing {
        for op in ["eq", "ne", "lt", "lte", "gt", "gte"] {
            assert!(!compare(op, path, json!(null)), "{op} {path:?}");
        }
        let value = json!({ "path": path });
        for op in ["truthy", "falsy"] {
            assert!(!holds(json!({ "op": op, "value": value })), "{op} {path:?}");
        }
        for op in ["in", "notIn"] {
            let predicate = json!({ "op": op, "value": value, "set": [null] });
            assert!(!holds(predicate), "{op} {path:?}");
        }
        assert!(!holds(json!({ "op": "exists", "path": path })), "{path:?}");
        assert!(
            holds(json!({ "op": "notExists", "path": path })),
            "{path:?}"
        );
    }
    assert!(holds(json!({ "op": "exists", "path": "inputData.null" })));
    assert!(!holds(
        json!({ "op": "notExists", "path": "inputData.null" })
    ));
}

#[test]
fn truth_is_that_of_javascript() {
    for (path, truthy) in [
        ("inputData.n", true),
        ("inputData.text", true),
        ("inputData.list", true),
        ("state", true),
        ("inputData.empty", false),
        ("inputData.zero", false),
        ("inputData.no", false),
        ("inputData.null", false),
    ] {
        let value = json!({ "path": path });
        assert_eq!(
            holds(json!({ "op": "truthy", "value": value })),
            truthy,
            "{path}"
        );
        assert_eq!(
            holds(json!({ "op": "falsy", "value": value })),
            !truthy,
            "{path}"
        );
    }
}

#[test]
fn sets_and_combinations() {
    let n = json!({ "path": "inputData.n" });
    let yes = json!({ "op": "in", "value": n, "set": ["5", 5] });
    let no = json!({ "op": "notIn", "value": n, "set": ["5", 5] });
    assert!(holds(yes.clone()) && !holds(no.clone()));
    for (op, args, expected) in [
        ("and", vec![], true),
        ("or", vec![], false),
        ("and", vec![&yes, &no], false),
        ("and", vec![&yes, &yes], true),
        ("or", vec![&no, &yes], true),
        ("or", vec![&no, &no], false),
    ] {
        assert_eq!(
            holds(json!({ "op": op, "args": args })),
            expected,
            "{op} {args:?}"
        );
    }
    assert!(holds(json!({ "op": "not", "arg": no })));
}

#[test]
fn a_condition_looks_into_its_run() {
    let test = StepContext::test()
        .input(&json!({ "n": 1 }))
        .initial(&2)
        .state(&json!({ "n": 3 }))
        .output("before", &json!({ "n": 4 }));
    for (path, value) in [
        ("inputData.n", 1),
        ("initData", 2),
        ("state.n", 3),
        ("stepResults.before.n", 4),
    ] {
        let predicate = Predicate::Eq {
            left: Operand::path(path),
            right: Operand::literal(value),
        };
        assert!(predicate.holds(&test.context()), "{path}");
    }
}

#[test]
fn text_is_ordered_by_its_utf_16_units() {
    // U+FF01 comes before U+1F600 by code points, and behind it by units.
    let less = |left: &str, right: &str| {
        let (left, right) = (Operand::literal(left), Operand::literal(right));
        Predicate::Lt { left, right }.holds_for(&given())
    };
    assert!(less("\u{1f600}", "\u{ff01}"));
    assert!(!less("\u{ff01}", "\u{1f600}"));
}

#[test]
fn what_is_no_predicate_is_refused() {
    for json in [
        r#"{}"#,
        r#"{"op":"like","left":{"literal":1},"right":{"literal":1}}"#,
        r#"{"op":"eq","left":{"literal":1}}"#,
        r#"{"op":"eq","left":{"literal":{}},"right":{"literal":1}}"#,
        r#"{"op":"eq","left":{"literal":1,"path":"x"},"right":{"literal":1}}"#,
        r#"{"op":"in","value":{"literal":1},"set":[[1]]}"#,
        r#"{"op":"and","args":{}}"#,
        r#"{"op":"not"}"#,
        r#"{"op":"exists","path":7}"#,
        "[]",
    ] {
        assert!(serde_json::from_str::<Predicate>(json).is_err(), "{json}");
    }
    let deep = format!(
        "{}{}",
        r#"{"op":"not","arg":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    assert!(serde_json::from_str::<Predicate>(&deep).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c.]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-c0-2]{0,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::from),
        any::<i64>().prop_map(Scalar::from),
        (-4_i64..4).prop_map(Scalar::from),
        any::<f64>().prop_map(Scalar::from),
        "[a-c]{0,2}".prop_map(Scalar::from),
    ]
}

fn any_path() -> impl Strategy<Value = String> {
    let root = "(initData|inputData|state|stepResults|other)?";
    let rest = "([.][a-c0-2]{0,2}){0,4}";
    (root, rest).prop_map(|(root, rest)| root + &rest)
}

fn any_operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        any_path().prop_map(Operand::Path),
        any_scalar().prop_map(Operand::Literal),
    ]
}

/// Any predicate.
pub(crate) fn any_predicate() -> impl Strategy<Value = Predicate> {
    let two = || (any_operand(), any_operand());
    let set = || prop::collection::vec(any_scalar(), 0..4);
    let leaf = prop_oneof![
        two().prop_map(|(left, right)| Predicate::Eq { left, right }),
        two().prop_map(|(left, right)| Predicate::Ne { left, right }),
        two().prop_map(|(left, right)| Predicate::Lt { left, right }),
        two().prop_map(|(left, right)| Predicate::Lte { left, right }),
        two().prop_map(|(left, right)| Predicate::Gt { left, right }),
        two().prop_map(|(left, right)| Predicate::Gte { left, right }),
        (any_operand(), set()).prop_map(|(value, set)| Predicate::In { value, set }),
        (any_operand(), set()).prop_map(|(value, set)| Predicate::NotIn { value, set }),
        any_path().prop_map(|path| Predicate::Exists { path }),
        any_path().prop_map(|path| Predicate::NotExists { path }),
        any_operand().prop_map(|value| Predicate::Truthy { value }),
        any_operand().prop_map(|value| Predicate::Falsy { value }),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let args = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            args().prop_map(|args| Predicate::And { args }),
            args().prop_map(|args| Predicate::Or { args }),
            inner
                .clone()
                .prop_map(|arg| Predicate::Not { arg: Box::new(arg) }),
        ]
    })
}

fn any_given() -> impl Strategy<Value = Given> {
    let named = |names: &'static str| prop::collection::hash_map(names, any_json(), 0..4);
    (named("initData|inputData|state"), named("[a-c](.[a-c])?")).prop_map(|(roots, outputs)| {
        let data = |all: HashMap<String, Value>| {
            all.into_iter()
                .map(|(name, value)| (name, Data::from(value)))
                .collect()
        };
        Given {
            roots: data(roots),
            outputs: data(outputs),
        }
    })
}

proptest! {
    /// Whatever the values are, a predicate holds or does not; it means the same when it was written down and read again, and
    /// an operation and its opposite never hold both.
    #[test]
    fn a_predicate_has_one_meaning(predicate in any_predicate(), given in any_given()) {
        let holds = predicate.holds_for(&given);
        let json = serde_json::to_string(&predicate).unwrap();
        let read: Predicate = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.holds_for(&given), holds);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        let negated = Predicate::Not { arg: Box::new(predicate) };
        prop_assert_ne!(negated.holds_for(&given), holds);
    }

    /// Two values are ordered in one way at most, and in one way if they are numbers.
    #[test]
    fn an_order_is_one(left in any_scalar(), right in any_scalar()) {
        let given = Given::default();
        let (left, right) = (Operand::Literal(left), Operand::Literal(right));
        let pair = || (left.clone(), right.clone());
        let holds = |make: fn((Operand, Operand)) -> Predicate| make(pair()).holds_for(&given);
        let eq = holds(|(left, right)| Predicate::Eq { left, right });
        let ne = holds(|(left, right)| Predicate::Ne { left, right });
        let lt = holds(|(left, right)| Predicate::Lt { left, right });
        let gt = holds(|(left, right)| Predicate::Gt { left, right });
        let lte = holds(|(left, right)| Predicate::Lte { left, right });
        prop_assert!(eq != ne);
        prop_assert!(u8::from(eq) + u8::from(lt) + u8::from(gt) <= 1);
        let ordered = matches!(
            pair(),
            (Operand::Literal(Scalar::Number(_)), Operand::Literal(Scalar::Number(_)))
                | (Operand::Literal(Scalar::Text(_)), Operand::Literal(Scalar::Text(_)))
        );
        prop_assert_eq!(eq || lt || gt, ordered || eq);
        prop_assert_eq!(lte, ordered && (lt || eq));
    }

    /// Hostile text is refused or read, and what was read can be asked.
    #[test]
    fn hostile_json_does_no_harm(json in any_json(), predicate in any_predicate(), given in any_given()) {
        let mut tree = serde_json::to_value(&predicate).unwrap();
        if let Some(members) = tree.as_object_mut() {
            for name in ["left", "value", "arg", "args", "set", "path"] {
                if members.contains_key(name) {
                    members.insert(name.to_owned(), json);
                    break;
                }
            }
        }
        if let Ok(read) = serde_json::from_value::<Predicate>(tree) {
            let again = serde_json::to_string(&read).unwrap();
            prop_assert_eq!(serde_json::from_str::<Predicate>(&again).unwrap().holds_for(&given), read.holds_for(&given));
        }
    }
}
