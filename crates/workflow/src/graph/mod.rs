//! The graph of a workflow as JSON: in the form of the reference, and with what it takes to replay a journal.

mod node;
mod outline;
mod read;
mod registry;
mod shape;
#[cfg(test)]
mod tests;
mod write;

use sha2::{Digest, Sha256};

#[cfg(feature = "schema")]
pub(crate) use node::compact;
pub use registry::StepRegistry;

use crate::{Data, Workflow};

/// How deep the nodes of a graph may be nested: workflows in workflows, and what repeats or stands beside them.
const MAX_DEPTH: usize = 64;

impl Workflow {
    /// The graph of the workflow, as the reference writes it: an array of entries. Functions have no source; what stands for
    /// them is a mark that says so.
    ///
    /// ```
    /// use bowline_workflow::{StepError, Workflow};
    ///
    /// async fn double(n: u32) -> Result<u32, StepError> { Ok(n * 2) }
    ///
    /// let workflow = Workflow::builder("doubling").input::<u32>().step(double).build()?;
    /// let graph = r#"[{"type":"step","step":{"id":"double","canSuspend":false}}]"#;
    /// assert_eq!(workflow.to_graph().as_str(), graph);
    /// # Ok::<(), bowline_workflow::Error>(())
    /// ```
    pub fn to_graph(&self) -> Data {
        let graph = self.definition().graph.get_or_init(|| write::graph(self));
        graph.clone()
    }

    /// What changes when the graph does: the first 16 hexadecimal digits of the SHA-256 of its JSON, as in the reference.
    ///
    /// Every process with the same program has the same, also for sleeps without a name.
    pub fn hash(&self) -> String {
        let hash = || {
            let digest = Sha256::digest(self.to_graph().as_str());
            let digits = digest[..8].iter().map(|byte| format!("{byte:02x}"));
            digits.collect()
        };
        self.definition().hash.get_or_init(hash).clone()
    }
}
