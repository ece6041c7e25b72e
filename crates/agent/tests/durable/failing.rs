//! Models that fail: others are asked, and readers learn what is void.

use std::time::Duration;

use bowline_agent::agent::RunOptions;
use bowline_agent::model::{FinishReason, ModelSettings};
use bowline_agent::scripted::{Answer, ScriptedModel};
use bowline_agent::{Agent, AgentBuilder, AgentRun, ErrorKind, StreamEvent};

use crate::house::House;

/// What a reader has of a run: the text without what was void, and how often something was.
async fn read(mut run: AgentRun) -> (String, usize, bowline_agent::RunOutput) {
    let (mut text, mut void) = (String::new(), 0);
    while let Some(item) = run.next().await {
        match item.unwrap().event {
            StreamEvent::Chunk {
                chunk: bowline_agent::Chunk::TextDelta(delta),
                ..
            } => text.push_str(&delta.text),
            StreamEvent::StepDiscarded { .. } => {
                text.clear();
                void += 1;
            }
            _ => {}
        }
    }
    (text, void, run.into_stream().into_output())
}

fn failing(answer: Answer) -> ScriptedModel {
    ScriptedModel::new(move |_| answer.clone())
}

fn refused() -> Answer {
    Answer::fails(ErrorKind::Model, "no such model")
}

fn broken() -> Answer {
    let half = Answer::new().text("Half an");
    half.error(ErrorKind::ModelUnavailable, "the connection broke")
}

fn agent(models: &[ScriptedModel]) -> AgentBuilder {
    let agent = Agent::builder("talker").model_silence(Duration::from_millis(200));
    models.iter().cloned().fold(agent, AgentBuilder::model)
}

#[tokio::test]
async fn the_next_model_is_asked_when_one_fails() {
    let good = || ScriptedModel::says("A whole answer.");
    for (what, models, text, void) in [
        (
            "it refuses",
            vec![failing(refused()), good()],
            "A whole answer.",
            0,
        ),
        (
            "it breaks off",
            vec![failing(broken()), good()],
            "A whole answer.",
            1,
        ),
        (
            "it ends early",
            vec![failing(Answer::says("Half").cut()), good()],
            "A whole answer.",
            1,
        ),
        (
            "it is silent",
            vec![failing(Answer::says("Half").hang()), good()],
            "A whole answer.",
            1,
        ),
        (
            "it never begins",
            vec![failing(Answer::new().hang()), good()],
            "A whole answer.",
            1,
        ),
        (
            "two fail",
            vec![
                failing(broken()),
                failing(refused()),
                failing(broken()),
                good(),
            ],
            "A whole answer.",
            2,
        ),
    ] {
        let house = House::new();
        let agent = house.with(&agent(&models).build().unwrap()).await;
        let (seen, discarded, output) = read(agent.stream("Hi").await.unwrap()).await;
        assert_eq!(seen, text, "{what}");
        assert_eq!(discarded, void, "{what}");
        assert_eq!(output.text, text, "{what}");
        assert_eq!(output.steps.len(), 1, "{what}");
        assert!(models.iter().all(|model| model.calls() == 1), "{what}");
        agent.engine().close().await;
    }
}

#[tokio::test]
async fn a_model_is_asked_again_as_often_as_the_agent_or_the_run_says() {
    let times = |retries| {
        RunOptions::new().settings(ModelSettings {
            max_retries: Some(retries),
            ..ModelSettings::default()
        })
    };
    for (what, retries, options, calls) in [
        ("never", None, RunOptions::new(), 1),
        ("as the agent says", Some(2), RunOptions::new(), 3),
        ("as the run says", Some(2), times(1), 2),
        ("as the run says, without the agent", None, times(3), 4),
    ] {
        let house = House::new();
        let model = failing(broken());
        let mut agent = agent(std::slice::from_ref(&model));
        if let Some(retries) = retries {
            agent = agent.max_retries(retries);
        }
        let agent = house.with(&agent.build().unwrap()).await;
        let run = agent.stream_with("Hi", options).await.unwrap();
        let (_, void, output) = read(run).await;
        assert_eq!(model.calls(), calls, "{what}");
        assert_eq!(void, calls - 1, "{what}");
        assert_eq!(output.finish_reason, Some(FinishReason::Error), "{what}");
        let error = output.error.unwrap();
        assert!(error.message.contains("the connection broke"), "{error:?}");
        agent.engine().close().await;
    }
}

#[tokio::test]
async fn a_model_that_panics_fails_the_run_and_nothing_else() {
    let house = House::new();
    let model = ScriptedModel::new(|request| match request.prompt.len() {
        1 => panic!("the model panics"),
        _ => Answer::says("fine"),
    });
    let agent = house
        .with(&agent(std::slice::from_ref(&model)).build().unwrap())
        .await;
    let output = agent.generate("Hi").await.unwrap();
    assert_eq!(output.finish_reason, Some(FinishReason::Error));
    assert_eq!(model.calls(), 0, "it panicked before it counted");
    let options = RunOptions::new().system("Be brief.");
    assert_eq!(
        agent.generate_with("Hi", options).await.unwrap().text,
        "fine"
    );
    agent.engine().close().await;
}
