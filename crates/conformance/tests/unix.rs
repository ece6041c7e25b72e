//! The Unix socket bus: alone, and as broker and client in each direction.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bowline_conformance::{Fixture, Participants};
use bowline_events::{Error, ErrorKind, OpFuture, PubSub, PubSubExt, Result, SubscribeOptions};
use bowline_unix::UnixSocketPubSub;

/// Who publishes and who subscribes.
#[derive(Clone, Copy)]
enum Roles {
    Alone,
    BrokerPublishes,
    ClientPublishes,
    TwoClients,
}

impl Fixture for Roles {
    fn name(&self) -> &str {
        match self {
            Self::Alone => "unix-alone",
            Self::BrokerPublishes => "unix-broker-publishes",
            Self::ClientPublishes => "unix-client-publishes",
            Self::TwoClients => "unix-two-clients",
        }
    }

    fn connect(&self) -> OpFuture<'_, Participants> {
        OpFuture::new(async {
            let folder = tempfile::tempdir()
                .map_err(|error| unready("no temporary folder").with_source(error))?;
            let path = folder.path().join("bus.sock");
            let broker = join(&path, true).await?;
            let participants = match self {
                Self::Alone => Participants::one(broker),
                Self::BrokerPublishes => Participants::two(broker, join(&path, false).await?),
                Self::ClientPublishes => Participants::two(join(&path, false).await?, broker),
                Self::TwoClients => {
                    let clients =
                        Participants::two(join(&path, false).await?, join(&path, false).await?);
                    clients.keeping(broker)
                }
            };
            Ok(participants.keeping(folder))
        })
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }
}

/// A participant that has found its role.
async fn join(path: &Path, broker: bool) -> Result<Arc<dyn PubSub>> {
    let bus = UnixSocketPubSub::builder(path)
        .max_frame_bytes(8 * 1024 * 1024)
        .build()?;
    bus.subscribe("role", SubscribeOptions::new())
        .await?
        .unsubscribe()
        .await?;
    if bus.is_broker() == broker {
        Ok(Arc::new(bus))
    } else {
        Err(unready("the participant has the wrong role"))
    }
}

fn unready(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, "connect", message)
}

fn main() -> ExitCode {
    let roles = [
        Roles::Alone,
        Roles::BrokerPublishes,
        Roles::ClientPublishes,
        Roles::TwoClients,
    ];
    bowline_conformance::main(roles.map(|roles| Box::new(roles) as Box<dyn Fixture>))
}
