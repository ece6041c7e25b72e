//! Processors one after the other.

use std::sync::Arc;

use super::{Processed, Processor, ProcessorError, RunInput, RunOutput, StepInput, Tripwire};
use crate::{BoxFuture, Error, ErrorKind, Result};

/// Processors, each of which sees what the one before it has left. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Processors(Arc<Vec<Arc<dyn Processor>>>);

impl Processors {
    /// Processors in the order in which they are called.
    pub fn new(processors: impl IntoIterator<Item = Arc<dyn Processor>>) -> Self {
        Self(Arc::new(processors.into_iter().collect()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets all of them look at what is said to a run. With a tripwire, the ones behind it were not called.
    ///
    /// # Errors
    /// That of the processor that failed.
    pub async fn input(&self, input: &mut RunInput) -> Result<Option<Tripwire>> {
        for processor in self.0.iter() {
            let tripped = passed(&**processor, processor.process_input(input)).await?;
            if tripped.is_some() {
                return Ok(tripped);
            }
        }
        Ok(None)
    }

    /// Lets all of them look at what the model is about to be asked.
    ///
    /// # Errors
    /// That of the processor that failed.
    pub async fn step(&self, step: &mut StepInput) -> Result<Option<Tripwire>> {
        for processor in self.0.iter() {
            let tripped = passed(&**processor, processor.process_step(step)).await?;
            if tripped.is_some() {
                return Ok(tripped);
            }
        }
        Ok(None)
    }

    /// Lets all of them look at what the run has made.
    ///
    /// # Errors
    /// That of the processor that failed.
    pub async fn output_result(&self, output: &mut RunOutput) -> Result<Option<Tripwire>> {
        for processor in self.0.iter() {
            let tripped = passed(&**processor, processor.process_output_result(output)).await?;
            if tripped.is_some() {
                return Ok(tripped);
            }
        }
        Ok(None)
    }
}

/// What came of one processor: the tripwire, with its name.
async fn passed(
    processor: &dyn Processor,
    processed: BoxFuture<'_, Processed>,
) -> Result<Option<Tripwire>> {
    match processed.await {
        Ok(()) => Ok(None),
        Err(ProcessorError::Tripwire(mut tripwire)) => {
            tripwire.processor_id = Some(processor.id().to_owned().into());
            if tripwire.reason.is_empty() {
                tripwire.reason = format!("Tripwire triggered by {}", processor.id());
            }
            Ok(Some(tripwire))
        }
        Err(ProcessorError::Failed(source)) => Err(failed(processor.id(), source)),
    }
}

fn failed(processor: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let kind = source.downcast_ref::<Error>().map(Error::kind);
    let message = format!("the processor failed: {source}");
    Error::new(kind.unwrap_or(ErrorKind::Tool), "process messages", message)
        .with_subject(processor.to_owned())
        .with_source(source)
}
