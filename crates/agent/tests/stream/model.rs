//! Runs that crash, against the same runs undisturbed.

use bowline_agent::chunk::event::{Finish, IterationComplete, StepRecord};
use bowline_agent::chunk::{
    Chunk, Delta, Encoder, Failure, Start, StepFinish, StepStart, ToolCall, ToolFailure,
    ToolRecord, ToolResult,
};
use bowline_agent::model::{FinishReason, ToolInput, Usage};
use bowline_agent::stream::Fold;
use bowline_agent::{Data, StreamEvent, StreamItem};
use bowline_events::{Event, NewEvent};
use proptest::prelude::*;

use super::fold::{feed, read};

/// A run, and what went wrong in it.
#[derive(Debug, Clone)]
struct Script {
    /// Whether the producer counts its iterations on the wire, as ours does and Node does not.
    counts: bool,
    /// How often the begin was told.
    starts: usize,
    iterations: Vec<Iteration>,
}

#[derive(Debug, Clone)]
struct Iteration {
    /// Calls of the model that broke off: what each had said.
    lost: Vec<Vec<String>>,
    text: Vec<String>,
    /// Whether each tool that was called returned.
    tools: Vec<bool>,
    /// After how many events of the tools and of the end the driver crashed, each time.
    crashes: Vec<usize>,
}

fn script() -> impl Strategy<Value = Script> {
    let text = || prop::collection::vec("[a-c]{0,3}", 0..4);
    let iteration = (
        prop::collection::vec(text(), 0..3),
        text(),
        prop::collection::vec(any::<bool>(), 0..4),
        prop::collection::vec(0usize..6, 0..3),
    );
    let iteration = iteration.prop_map(|(lost, text, tools, crashes)| Iteration {
        lost,
        text,
        tools,
        crashes,
    });
    let iterations = prop::collection::vec(iteration, 1..4);
    (any::<bool>(), 1usize..3, iterations).prop_map(|(counts, starts, iterations)| Script {
        counts,
        starts,
        iterations,
    })
}

impl Script {
    fn undisturbed(&self) -> Self {
        let mut script = self.clone();
        script.starts = 1;
        for iteration in &mut script.iterations {
            iteration.lost.clear();
            iteration.crashes.clear();
        }
        script
    }

    fn events(&self) -> Vec<Event> {
        let encoder = Encoder::new("run");
        let chunk = |chunk: Chunk| encoder.event(encoder.chunk(&chunk));
        let mut events = Vec::new();
        for _ in 0..self.starts {
            let start = Start {
                agent_id: "agent".into(),
                message_id: "m".into(),
            };
            events.push(chunk(Chunk::Start(start)));
        }
        let delta = |text: &String| {
            chunk(Chunk::TextDelta(Delta {
                id: "t".into(),
                text: text.clone(),
                metadata: None,
            }))
        };
        for (number, iteration) in (1..).zip(&self.iterations) {
            for (attempt, lost) in iteration.lost.iter().enumerate() {
                events.push(self.step(number, &format!("lost-{attempt}")));
                events.extend(lost.iter().map(delta));
            }
            events.push(self.step(number, "good"));
            events.extend(iteration.text.iter().map(delta));
            for id in 0..iteration.tools.len() {
                let call = Box::new(ToolCall {
                    call: call(id),
                    ..ToolCall::default()
                });
                events.push(chunk(Chunk::ToolCall(call)));
            }
            let rest = self.rest(number as usize, iteration);
            for crash in &iteration.crashes {
                events.extend_from_slice(&rest[..(*crash).min(rest.len())]);
            }
            events.extend(rest);
        }
        events.push(self.finish().to_event(&"run".into()));
        events.into_iter().map(NewEvent::stamp).collect()
    }

    fn step(&self, number: u32, attempt: &str) -> NewEvent {
        Encoder::new("run").step_start_event(&StepStart {
            message_id: format!("{number}-{attempt}").into(),
            started_at: None,
            iteration: self.counts.then_some(number),
        })
    }

    /// The events behind the answer of the model: a driver repeats them from the first.
    fn rest(&self, number: usize, iteration: &Iteration) -> Vec<NewEvent> {
        let encoder = Encoder::new("run");
        let mut events = Vec::new();
        for (id, returned) in iteration.tools.iter().enumerate() {
            let chunk = match returned {
                true => Chunk::ToolResult(Box::new(ToolResult {
                    call: call(id),
                    result: Some(Data::null()),
                    ..ToolResult::default()
                })),
                false => Chunk::ToolError(Box::new(ToolFailure {
                    call: call(id),
                    args: None,
                    error: Failure::new("E", "m"),
                })),
            };
            events.push(encoder.event(encoder.chunk(&chunk)));
        }
        let finish = StepFinish {
            is_continued: number < self.iterations.len(),
            usage: Usage::new(1, 2),
            ..StepFinish::default()
        };
        events.push(encoder.event(encoder.chunk(&Chunk::StepFinish(Box::new(finish)))));
        let complete = IterationComplete {
            iteration: number as u32,
            ..IterationComplete::default()
        };
        events.push(complete.to_event(&"run".into()));
        events
    }

    fn finish(&self) -> Finish {
        let mut finish = Finish::default();
        finish.output.steps = self.iterations.iter().map(Iteration::record).collect();
        finish.output.text = finish.output.steps.last().map(|step| step.text.clone());
        for step in &finish.output.steps {
            finish.output.usage.add(&step.usage);
        }
        finish.step_result.reason = FinishReason::Stop;
        finish
    }
}

impl Iteration {
    fn record(&self) -> StepRecord {
        let mut record = StepRecord {
            text: self.text.concat(),
            usage: Usage::new(1, 2),
            ..StepRecord::default()
        };
        for (id, returned) in self.tools.iter().enumerate() {
            let mut tool = ToolRecord::new(call(id).id, call(id).name, Data::null());
            record.tool_calls.push(tool.clone());
            match returned {
                true => tool.result = Some(Data::null()),
                false => tool.error = Some(Failure::new("E", "m")),
            }
            record.tool_results.push(tool);
        }
        record
    }
}

fn call(id: usize) -> ToolInput {
    ToolInput {
        id: format!("call-{id}").into(),
        name: "tool".into(),
        ..ToolInput::default()
    }
}

/// What is left of what a reader saw when it throws away what was void.
fn kept(items: &[StreamItem]) -> Vec<StreamEvent> {
    let mut kept: Vec<StreamEvent> = Vec::new();
    for item in items {
        if let StreamEvent::StepDiscarded { .. } = item.event {
            let is_start = |event: &StreamEvent| {
                matches!(
                    event,
                    StreamEvent::Chunk {
                        chunk: Chunk::StepStart(_),
                        ..
                    }
                )
            };
            let begin = kept
                .iter()
                .rposition(is_start)
                .expect("the void step began");
            kept.truncate(begin);
        } else {
            kept.push(item.event.clone());
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_crashes_reads_like_one_that_does_not(script in script()) {
        let (undisturbed, expected) = read(&script.undisturbed().events());
        let (items, output) = read(&script.events());
        prop_assert_eq!(kept(&items), kept(&undisturbed));
        prop_assert_eq!(&output, &expected);
        let lost: usize = script.iterations.iter().map(|iteration| iteration.lost.len()).sum();
        let discarded = items.iter().filter(|item| matches!(item.event, StreamEvent::StepDiscarded { .. }));
        prop_assert_eq!(discarded.count(), lost);
        prop_assert!(items.is_sorted_by_key(|item| item.offset));
    }

    #[test]
    fn what_is_gathered_on_the_way_is_what_the_run_tells_at_its_end(script in script()) {
        let mut events = script.events();
        events.pop();
        let (_, gathered) = read(&events);
        let expected = script.finish().output;
        prop_assert_eq!(gathered.steps, expected.steps);
        prop_assert_eq!(Some(gathered.text), expected.text);
        prop_assert_eq!(gathered.usage, expected.usage);
    }

    #[test]
    fn a_reader_that_comes_back_sees_what_it_would_have_seen(
        script in script(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..5), 0..20),
    ) {
        let events = script.events();
        let (whole, expected) = read(&events);
        let mut cuts: Vec<(usize, usize)> = cuts.iter().map(|(cut, back)| (cut.index(events.len()), *back)).collect();
        cuts.sort_unstable();
        let mut fold = Fold::new();
        let mut items = Vec::new();
        let mut from = 0;
        for (cut, back) in cuts {
            items.extend(feed(&mut fold, &events[from..cut.max(from)], from as u64));
            // The new connection may begin earlier than it has to.
            from = cut.max(from).saturating_sub(back);
        }
        items.extend(feed(&mut fold, &events[from..], from as u64));
        prop_assert_eq!(items, whole);
        prop_assert_eq!(fold.into_output(), expected);
    }

    #[test]
    fn a_reader_that_comes_late_misses_nothing_from_there_on(script in script(), cut in any::<prop::sample::Index>()) {
        let events = script.events();
        let from = cut.index(events.len());
        let (whole, expected) = read(&events);
        let mut fold = Fold::new();
        fold.skip_to(from as u64);
        let late = feed(&mut fold, &events[from..], from as u64);
        let mut rest = late.iter();
        for item in whole.iter().filter(|item| item.offset >= from as u64) {
            let void = matches!(item.event, StreamEvent::StepDiscarded { .. });
            // Of a step that it did not see it need not be told that it is void; its message it cannot know.
            let same = |late: &&StreamItem| late.offset == item.offset && (void || late.event == item.event);
            prop_assert!(void || rest.any(|late| same(&late)), "{:?}", item);
        }
        // What it sees besides is what was told before it came.
        for extra in late.iter().filter(|late| !whole.iter().any(|item| item.offset == late.offset)) {
            let told = |item: &StreamItem| item.offset < from as u64 && item.event == extra.event;
            prop_assert!(whole.iter().any(told), "{:?}", extra);
        }
        prop_assert_eq!(fold.into_output(), expected);
    }
}
