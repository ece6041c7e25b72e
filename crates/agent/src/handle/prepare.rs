//! Starting a run.

use bowline_events::Text;
use bowline_workflow::{Data, Run, Start};

use super::AgentHandle;
use crate::durable::{KIND, RUN, RunInput, processing};
use crate::memory::ThreadDetails;
use crate::processor;
use crate::threads::{Entry, Threads};
use crate::{Error, ErrorKind, IntoMessages, Message, Result, RunOptions, Strategy, random_id};

/// Bytes of what a run begins with.
const MAX_INPUT: usize = 8 * 1024 * 1024;
/// Bytes of what it remembers: a conversation in which much was said is to go on.
const MAX_REMEMBERED: usize = MAX_INPUT / 2;

/// How many of the first of `messages` there is no room for.
fn too_old(messages: &[Message]) -> usize {
    let mut room = MAX_REMEMBERED;
    let fits = |message: &&Message| {
        let bytes = serde_json::to_vec(message).map_or(0, |json| json.len());
        let left = room.checked_sub(bytes);
        room = left.unwrap_or(0);
        left.is_some()
    };
    messages.len() - messages.iter().rev().take_while(fits).count()
}

/// Nobody reads the run from here.
pub(crate) async fn unread(_: Text) -> Result<()> {
    Ok(())
}

impl AgentHandle {
    /// Begins a run: when this returns, it is in the store and will be done, whatever happens to this process. Read it with
    /// [`observe`](Self::observe). What [`stream`](Self::stream) says of threads is so here, too.
    ///
    /// # Errors
    /// `InvalidInput` for messages and options that are none, `AlreadyExists` for a run id that is taken and a thread of another
    /// resource, `TooLarge`, `Store`. With a [thread](RunOptions::thread), of an agent that was given to threads: `Conflict` when
    /// somebody is at work in it, `Closed` when the threads are. After `Store` the run may have begun.
    pub async fn start(&self, messages: impl IntoMessages, options: RunOptions) -> Result<Text> {
        let threads = self.threads_for(&options)?;
        let begun = self.begin_in(threads.as_ref(), messages, options, unread);
        Ok(begun.await?.0)
    }

    /// Begins a run, in the thread that `threads` let it into. `listen` opens its reader before: a bus may keep nothing.
    pub(crate) async fn begin_in<R, F: Future<Output = Result<R>>>(
        &self,
        threads: Option<&Threads>,
        messages: impl IntoMessages,
        mut options: RunOptions,
        listen: impl FnOnce(Text) -> F,
    ) -> Result<(Text, R)> {
        options.check()?;
        let messages = messages.into_messages()?;
        let Some(threads) = threads else {
            return self.open(messages, options, listen, None).await;
        };
        let mut entry = threads.enter(self, &mut options).await?;
        let begun = self.open(messages, options, listen, Some(&mut entry));
        let begun = begun.await;
        entry.end(begun).await
    }

    /// Begins a run that was let into its thread before, with what is in its mailbox.
    pub(crate) async fn begin_entered(&self, options: RunOptions) -> Result<()> {
        self.open(Vec::new(), options, unread, None).await?;
        Ok(())
    }

    async fn open<R, F: Future<Output = Result<R>>>(
        &self,
        messages: Vec<Message>,
        options: RunOptions,
        listen: impl FnOnce(Text) -> F,
        entry: Option<&mut Entry>,
    ) -> Result<(Text, R)> {
        let input = self.prepare(messages, options).await?;
        let run_id = input.run_id.clone();
        let listener = listen(run_id.clone()).await?;
        if let Some(entry) = entry {
            entry.begins();
        }
        self.begin(input).await?;
        Ok((run_id, listener))
    }

    async fn prepare(&self, mut messages: Vec<Message>, options: RunOptions) -> Result<RunInput> {
        let run_id = options.run_id.clone().unwrap_or_else(random_id);
        for message in &mut messages {
            message.thread_id.clone_from(&options.thread_id);
            message.resource_id.clone_from(&options.resource_id);
        }
        let remembered = self.recall(&options).await?;
        let mut input = RunInput {
            kind: KIND.into(),
            agent_id: self.agent().id().clone(),
            run_id,
            thread_id: options.thread_id.clone(),
            resource_id: options.resource_id.clone(),
            message_id: random_id(),
            remembered,
            messages,
            options,
            tripwire: None,
        };
        self.look_at_input(&mut input).await?;
        Ok(input)
    }

    /// What was said in the conversation before.
    async fn recall(&self, options: &RunOptions) -> Result<Vec<Message>> {
        let Some(thread) = &options.thread_id else {
            return Ok(Vec::new());
        };
        // A conversation of nobody in particular is its own resource.
        let resource = options.resource_id.as_ref().unwrap_or(thread);
        let memory = self.memory();
        let details = ThreadDetails::default();
        memory
            .open(thread.clone(), resource.clone(), details)
            .await?;
        let count = self.agent().0.memory.last_messages;
        let mut messages = memory.recent(thread, count).await?;
        messages.drain(..too_old(&messages));
        Ok(messages)
    }

    /// Lets the processors look at what is said.
    async fn look_at_input(&self, input: &mut RunInput) -> Result<()> {
        let processors = &self.agent().0.processors;
        if processors.is_empty() {
            return Ok(());
        }
        let context = processing::context(self.agent(), input);
        let options = &mut input.options;
        let system = match &options.instructions {
            Some(instructions) => vec![instructions.clone()],
            None => self.agent().0.instructions.clone(),
        };
        let messages = std::mem::take(&mut input.messages);
        let mut seen = processor::RunInput::new(context, system.clone(), messages);
        input.tripwire = processors.input(&mut seen).await?;
        input.messages = seen.messages;
        if seen.system != system {
            options.instructions = Some(seen.system.join("\n\n"));
        }
        Ok(())
    }

    async fn begin(&self, input: RunInput) -> Result<Run> {
        let run_id = input.run_id.clone();
        let failed = |error| Error::engine("start", error);
        let head = serde_json::json!({
            "agentId": input.agent_id,
            "threadId": input.thread_id,
            "resourceId": input.resource_id,
        });
        let state = Data::of(&serde_json::json!({ RUN: input })).map_err(failed)?;
        if state.as_str().len() > MAX_INPUT {
            let message = format!(
                "the messages and options are {} bytes, the limit is {MAX_INPUT}; keep large files elsewhere and send where",
                state.as_str().len()
            );
            return Err(Error::new(ErrorKind::TooLarge, "start", message).with_subject(run_id));
        }
        let mut start = Start::with_data(head.into()).run_id(run_id).state(state);
        if let Some(resource) = &input.resource_id {
            start = start.resource(resource.clone());
        }
        if let Some(context) = &input.options.request_context {
            start = start.context(context.clone());
        }
        // What was heard of an earlier run of this id does not concern this one.
        self.services.ears.forget(&input.run_id);
        if self.services.strategy == Strategy::Durable {
            self.services.begun.note(&input.run_id);
        }
        let started = self.engine.start(&self.workflow_id(), start).await;
        if started.is_err() {
            self.services.begun.take(&input.run_id);
        }
        started.map_err(failed)
    }
}
