//! What is pleasant to call on any bus.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::{
    Delivery, NewEvent, PubSub, PublishOptions, Published, Result, SubscribeOptions, Subscription,
    Topic,
};

/// Conveniences for every [`PubSub`], including `Arc<dyn PubSub>`.
///
/// ```
/// use bowline_events::{InProcessPubSub, NewEvent, PubSubExt, SubscribeOptions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_events::Result<()> {
/// let bus = InProcessPubSub::new();
/// let mut orders = bus.subscribe("orders", SubscribeOptions::new()).await?;
/// bus.publish("orders", NewEvent::new("order.created", "run-1").with_json(r#"{"n":1}"#)?).await?;
/// let delivery = orders.next().await.expect("the bus is open")?;
/// assert_eq!(delivery.event_type, "order.created");
/// # Ok(())
/// # }
/// ```
pub trait PubSubExt: PubSub {
    /// Publishes to every subscriber of `topic`.
    fn publish(
        &self,
        topic: impl Into<Topic> + Send,
        event: NewEvent,
    ) -> impl Future<Output = Result<Published>> + Send {
        let topic = topic.into();
        async move {
            self.publish_with(&topic, event, PublishOptions::default())
                .await
        }
    }

    /// Attaches a subscriber to `topic`.
    fn subscribe(
        &self,
        topic: impl Into<Topic> + Send,
        options: SubscribeOptions,
    ) -> impl Future<Output = Result<Subscription>> + Send {
        let topic = topic.into();
        async move { self.subscribe_with(&topic, options).await }
    }

    /// Calls `handler` for each delivery, one after the other, on a task of its own.
    ///
    /// The delivery is acked when the handler succeeds and nacked when it fails or panics; failures and notices are logged.
    /// Must be called inside a Tokio runtime. Dropping the [`Listener`] ends the subscription.
    fn on<H, F, E>(
        &self,
        topic: impl Into<Topic> + Send,
        options: SubscribeOptions,
        handler: H,
    ) -> impl Future<Output = Result<Listener>> + Send
    where
        H: FnMut(Arc<crate::Event>) -> F + Send + 'static,
        F: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let topic = topic.into();
        async move {
            let subscription = self.subscribe_with(&topic, options).await?;
            Ok(Listener {
                task: tokio::spawn(listen(topic, subscription, handler)),
            })
        }
    }
}

impl<T: PubSub + ?Sized> PubSubExt for T {}

async fn listen<H, F, E>(topic: Topic, mut subscription: Subscription, mut handler: H)
where
    H: FnMut(Arc<crate::Event>) -> F + Send,
    F: Future<Output = std::result::Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    while let Some(item) = subscription.next().await {
        match item {
            Ok(delivery) => handle(&topic, delivery, &mut handler).await,
            Err(notice) => tracing::warn!(%topic, %notice, "subscription notice"),
        }
    }
}

async fn handle<H, F, E>(topic: &Topic, delivery: Delivery, handler: &mut H)
where
    H: FnMut(Arc<crate::Event>) -> F + Send,
    F: Future<Output = std::result::Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    // A task of its own keeps a panicking handler from ending the subscription.
    let outcome = tokio::spawn(handler(delivery.share())).await;
    let settled = match outcome {
        Ok(Ok(())) => delivery.ack(),
        Ok(Err(error)) => {
            tracing::warn!(%topic, %error, "handler failed");
            delivery.nack()
        }
        Err(error) => {
            tracing::error!(%topic, %error, "handler panicked");
            delivery.nack()
        }
    };
    if let Err(error) = settled.await {
        tracing::warn!(%topic, %error, "delivery could not be settled");
    }
}

/// A handler that listens; see [`PubSubExt::on`]. Dropping it unsubscribes; a handler call under way is abandoned and nacked.
#[derive(Debug)]
#[must_use = "dropping a listener ends its subscription"]
pub struct Listener {
    task: JoinHandle<()>,
}

impl Listener {
    /// Waits until the subscription ends, which happens when the bus is closed.
    pub async fn finished(mut self) {
        // The task only ends by itself or by our own drop.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
