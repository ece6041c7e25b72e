//! Processors: each sees what the one before has left, and any of them can stop the run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bowline_agent::message::Message;
use bowline_agent::model::{FinishReason, Usage};
use bowline_agent::processor::{
    Processed, Processor, ProcessorContext, ProcessorError, Processors, RunInput, RunOutput,
    StepInput, Tripwire,
};
use bowline_agent::{BoxFuture, Data, ErrorKind};

/// Appends a letter to the last message, and stops or fails if it is to.
#[derive(Debug)]
struct Letter(&'static str, fn() -> Processed);

impl Letter {
    fn write(&self, messages: &mut [Message]) -> Processed {
        if let Some(last) = messages.last_mut() {
            let text = last.text() + self.0;
            *last = Message::user(text);
        }
        self.1()
    }
}

impl Processor for Letter {
    fn id(&self) -> &str {
        self.0
    }

    fn process_input<'a>(&'a self, input: &'a mut RunInput) -> BoxFuture<'a, Processed> {
        Box::pin(async move { self.write(&mut input.messages) })
    }

    fn process_step<'a>(&'a self, step: &'a mut StepInput) -> BoxFuture<'a, Processed> {
        Box::pin(async move { self.write(&mut step.messages) })
    }

    fn process_output_result<'a>(&'a self, result: &'a mut RunOutput) -> BoxFuture<'a, Processed> {
        Box::pin(async move { self.write(&mut result.messages) })
    }
}

/// Does nothing.
#[derive(Debug)]
struct Idle;

impl Processor for Idle {
    fn id(&self) -> &str {
        "idle"
    }
}

fn chain(middle: fn() -> Processed) -> Processors {
    let letters: [Arc<dyn Processor>; 4] = [
        Arc::new(Letter("a", || Ok(()))),
        Arc::new(Idle),
        Arc::new(Letter("b", middle)),
        Arc::new(Letter("c", || Ok(()))),
    ];
    Processors::new(letters)
}

/// What every kind of processing makes of a message, and how it ends.
async fn run(chain: &Processors) -> Vec<(String, bowline_agent::Result<Option<Tripwire>>)> {
    let context = || ProcessorContext::new("agent", "run");
    let messages = || vec![Message::user("")];
    let mut input = RunInput::new(context(), Vec::new(), messages());
    let mut step = StepInput::new(context(), 0, messages());
    let mut output = RunOutput::new(context(), messages(), Usage::default(), FinishReason::Stop);
    let ends = [
        chain.input(&mut input).await,
        chain.step(&mut step).await,
        chain.output_result(&mut output).await,
    ];
    let texts = [input.messages, step.messages, output.messages];
    let texts = texts.iter().map(|messages| messages[0].text());
    texts.zip(ends).collect()
}

#[tokio::test]
async fn each_processor_sees_what_the_one_before_has_left() {
    for (text, end) in run(&chain(|| Ok(()))).await {
        assert_eq!((text.as_str(), end.unwrap()), ("abc", None));
    }
}

#[tokio::test]
async fn nobody_is_called_behind_a_tripwire() {
    let stop = || {
        Err(ProcessorError::Tripwire(Tripwire {
            reason: "no".into(),
            retry: Some(true),
            metadata: Some(Data::object()),
            ..Tripwire::default()
        }))
    };
    for (text, end) in run(&chain(stop)).await {
        assert_eq!(text, "ab");
        let told = Data::of(&end.unwrap().unwrap()).unwrap();
        let expected = r#"{"reason":"no","retry":true,"metadata":{},"processorId":"b"}"#;
        assert_eq!(told.as_str(), expected);
    }
    for (_, end) in run(&chain(|| Err(ProcessorError::tripwire("")))).await {
        let told = Data::of(&end.unwrap().unwrap()).unwrap();
        let expected = r#"{"reason":"Tripwire triggered by b","processorId":"b"}"#;
        assert_eq!(told.as_str(), expected);
    }
}

#[tokio::test]
async fn a_processor_that_fails_is_named() {
    let foreign = || Ok("x".parse::<u8>().map(|_| ())?);
    let own = || {
        let error = bowline_agent::Error::new(ErrorKind::TooLarge, "read", "it is large");
        Err(error.into())
    };
    for (fail, kind) in [
        (foreign as fn() -> Processed, ErrorKind::Tool),
        (own, ErrorKind::TooLarge),
    ] {
        for (text, end) in run(&chain(fail)).await {
            let error = end.unwrap_err();
            assert_eq!(
                (text.as_str(), error.kind(), error.subject()),
                ("ab", kind, Some("b"))
            );
            assert!(std::error::Error::source(&error).is_some());
        }
    }
}
