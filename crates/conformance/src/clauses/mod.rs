//! The clauses, by subject.

pub mod batching;
pub mod data;
pub mod declaration;
pub mod fan_out;
pub mod groups;
pub mod hostile;
pub mod identity;
pub mod leases;
pub mod lifecycle;
pub mod local;
pub mod order;
pub mod pressure;
pub mod redelivery;
pub mod retention;
pub mod runtimes;
pub mod start;
pub mod topics;

use crate::Unmet;
use crate::reader::Reader;
use crate::session::{Session, number};

/// Takes and acks what is there for the members of a group: (member, number) for each event.
async fn drain(members: &mut [Reader]) -> Result<Vec<(usize, u64)>, Unmet> {
    let mut taken = Vec::new();
    for (n, member) in members.iter_mut().enumerate() {
        while let Some(item) = member.ready().await {
            let delivery =
                item.ok_or_else(|| Unmet::violated(format!("the stream of member {n} ended")))??;
            taken.push((n, number(&delivery)?));
            member.ack(delivery).await?;
        }
    }
    Ok(taken)
}

/// Takes and acks until the members of a group have got `total` events together.
async fn drain_until(
    session: &Session,
    members: &mut [Reader],
    total: usize,
) -> Result<Vec<u64>, Unmet> {
    let mut numbers = Vec::new();
    let mut patience = session.patience("all events of the group");
    while numbers.len() < total {
        numbers.extend(drain(members).await?.into_iter().map(|(_, number)| number));
        let spent = patience.spend().await;
        spent.map_err(|unmet| unmet.within(format!("{} of {total} so far", numbers.len())))?;
    }
    Ok(numbers)
}

/// Takes and acks the events that the members of a group get next, at least one: (member, number) for each.
async fn drain_some(session: &Session, members: &mut [Reader]) -> Result<Vec<(usize, u64)>, Unmet> {
    let mut patience = session.patience("an event of the group");
    loop {
        let taken = drain(members).await?;
        if !taken.is_empty() {
            return Ok(taken);
        }
        patience.spend().await?;
    }
}
