//! Commands on leases.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::LeaseProvider;
use serde_json::{Value, json};

use crate::commands::{Reply, number, required};

/// Carries out a command on a lease; `None` when the command is none of those.
pub(crate) async fn run(leases: Option<Arc<dyn LeaseProvider>>, command: &Value) -> Option<Reply> {
    let name = command["cmd"].as_str()?;
    if !["acquire", "owner", "renew", "transfer", "release"].contains(&name) {
        return None;
    }
    Some(match leases {
        Some(leases) => on(&*leases, name, command).await,
        None => Err("this bus has no leases".into()),
    })
}

async fn on(leases: &dyn LeaseProvider, name: &str, command: &Value) -> Reply {
    let key = required(command, "key")?;
    let owner = || required(command, "owner");
    let ttl = || Ok::<_, String>(Duration::from_millis(number(command, "ttlMs")?));
    let done = match name {
        "acquire" => leases.acquire(key, owner()?, ttl()?).await.map(|outcome| {
            let owner = outcome.owner.as_deref();
            json!({ "acquired": outcome.acquired, "owner": owner })
        }),
        "owner" => leases
            .owner(key)
            .await
            .map(|owner| json!({ "owner": owner.as_deref() })),
        "renew" => leases
            .renew(key, owner()?, ttl()?)
            .await
            .map(|held| json!({ "held": held })),
        "transfer" => leases
            .transfer(key, owner()?, required(command, "to")?, ttl()?)
            .await
            .map(|held| json!({ "held": held })),
        _ => leases.release(key, owner()?).await.map(|()| json!({})),
    };
    done.map_err(|error| error.to_string())
}
