//! A cluster of masters on loopback.

use crate::wait::until;
use crate::{Error, RedisServer, Result};

/// How many slots the keys of a cluster are spread over.
const SLOTS: usize = 16_384;

/// Several masters that share the slots evenly, without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts `masters` servers and waits until all of them say `cluster_state:ok`.
    ///
    /// # Errors
    ///
    /// When `masters` is 0, when a server does not start, or when they do not find together within
    /// [`PATIENCE`](crate::PATIENCE).
    pub async fn start(masters: usize) -> Result<Self> {
        if masters == 0 {
            return Err(Error::new("a cluster needs at least one master"));
        }
        let mut nodes = Vec::new();
        for _ in 0..masters {
            nodes.push(RedisServer::builder().cluster_node().start().await?);
        }
        let cluster = Self { nodes };
        cluster.share_slots().await?;
        cluster.meet().await?;
        cluster.agree().await?;
        Ok(cluster)
    }

    /// The servers.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URLs of the servers.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The URL of the first server; clients find the others through it.
    pub fn url(&self) -> String {
        self.nodes[0].url()
    }

    async fn share_slots(&self) -> Result<()> {
        let masters = self.nodes.len();
        for (index, node) in self.nodes.iter().enumerate() {
            let first = (SLOTS * index / masters).to_string();
            let last = (SLOTS * (index + 1) / masters - 1).to_string();
            let epoch = (index + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await?;
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await?;
        }
        Ok(())
    }

    async fn meet(&self) -> Result<()> {
        for node in &self.nodes[1..] {
            let port = node.port().to_string();
            let bus = node.cluster_port().unwrap_or_default().to_string();
            self.nodes[0]
                .command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await?;
        }
        Ok(())
    }

    async fn agree(&self) -> Result<()> {
        let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
        let size = format!("cluster_size:{}\r\n", self.nodes.len());
        until("the cluster", async || {
            for node in &self.nodes {
                let info = node.command(&["CLUSTER", "INFO"]).await?;
                let info = info.text().unwrap_or_default();
                let agrees = ["cluster_state:ok", &known, &size]
                    .iter()
                    .all(|wanted| info.contains(*wanted));
                if !agrees {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }
}
