//! Models of many providers, through the crate `genai`.

mod answer;
mod calls;
mod failure;

mod prompt;
mod provider;
mod request;
mod tap;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::genai::adapter::AdapterKind;
use ::genai::resolver::{AuthData, Endpoint, ProviderConfig};
use ::genai::{Client, ModelIden};
use bowline_events::Text;

use answer::Answer;
use failure::Subject;
use prompt::Reader;
use provider::Named;
use request::Turn;
use tap::Tap;

use super::{ChatModel, ChatRequest, ModelStream, http};
use crate::{BoxFuture, Error, ErrorKind, Result};

/// How long a provider may be silent.
const PATIENCE: Duration = Duration::from_secs(120);

/// The model that `spec` names: `provider/model`, such as `openai/gpt-4o-mini`, `anthropic/claude-sonnet-4-5`,
/// `google/gemini-2.5-flash`, `ollama/llama3` or `openrouter/meta-llama/llama-3-70b`.
///
/// The key of the provider is taken from its environment variable, such as `OPENAI_API_KEY`, when the model is asked, unless
/// [`api_key`](GenaiModel::api_key) gives one. What is wrong with `spec` is told by [`check`](GenaiModel::check), and by every
/// request.
///
/// ```
/// use bowline_agent::model::{ChatModel as _, genai};
///
/// let model = genai("openai/gpt-4o-mini").api_key("sk-...");
/// assert_eq!((model.provider(), model.model_id()), ("openai", "gpt-4o-mini"));
/// model.check()?;
/// # Ok::<(), bowline_agent::Error>(())
/// ```
pub fn genai(spec: impl AsRef<str>) -> GenaiModel {
    let spec = spec.as_ref();
    match Named::read(spec) {
        Ok(named) => GenaiModel::of(named, None),
        Err(error) => {
            let named = Named {
                provider: "unknown".into(),
                model: spec.to_owned().into(),
                kind: AdapterKind::OpenAI,
            };
            GenaiModel::of(named, Some(error.message().to_owned()))
        }
    }
}

/// A model of a provider; see [`genai()`]. Cheap to clone.
#[derive(Clone)]
pub struct GenaiModel {
    named: Named,
    base_url: Option<Text>,
    key: Option<Secret>,
    headers: Vec<(String, Secret)>,
    patience: Duration,
    /// What is wrong with it.
    fault: Option<String>,
    /// Made at the first request.
    client: Arc<OnceLock<Client>>,
}

/// What must not be seen.
#[derive(Clone)]
struct Secret(Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl GenaiModel {
    fn of(named: Named, fault: Option<String>) -> Self {
        Self {
            named,
            base_url: None,
            key: None,
            headers: Vec::new(),
            patience: PATIENCE,
            fault,
            client: Arc::default(),
        }
    }

    /// The model `model` of any server that speaks the protocol of OpenAI: vLLM, llama.cpp, LM Studio, a gateway. `base_url` is
    /// what comes before `chat/completions`, such as `http://localhost:8000/v1`. Without a key none is needed.
    pub fn openai_compatible(base_url: impl Into<String>, model: impl Into<Text>) -> Self {
        let named = Named {
            provider: "openai-compatible".into(),
            model: model.into(),
            kind: AdapterKind::OpenAI,
        };
        Self::of(named, None).api_key("none").base_url(base_url)
    }

    /// Uses this key, instead of that in the environment. It is never shown.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(Secret(key.into().into()));
        self.changed()
    }

    /// Asks this address, instead of the provider's own.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        let mut url = url.into();
        let scheme = url.starts_with("http://") || url.starts_with("https://");
        if !scheme {
            self.fault("its base URL does not begin with http:// or https://");
        }
        if !url.ends_with('/') {
            url.push('/');
        }
        if self.named.kind == AdapterKind::OpenAIResp {
            // Other servers have the older protocol.
            self.named.kind = AdapterKind::OpenAI;
        }
        self.base_url = Some(url.into());
        self.changed()
    }

    /// Sends this header with every request. Its value is never shown.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .push((name.into(), Secret(value.into().into())));
        self.changed()
    }

    /// How long the provider may be silent, before it answers and between parts, instead of 120 s. Then the request has failed
    /// with `ModelUnavailable`.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.fault("nobody answers within 0s; give it more time");
        }
        self.patience = limit;
        self.changed()
    }

    /// Whether it can be asked at all.
    ///
    /// # Errors
    /// `InvalidDefinition` when no such provider is known, the address is none, or there is no key for it.
    pub fn check(&self) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(self.refused(fault.clone()));
        }
        match (self.named.kind.default_key_env_name(), &self.key) {
            (Some(variable), None) if std::env::var_os(variable).is_none() => {
                let message =
                    format!("there is no key for it; set {variable}, or give it with .api_key(..)");
                Err(self.refused(message))
            }
            _ => Ok(()),
        }
    }

    fn fault(&mut self, fault: &str) {
        self.fault.get_or_insert_with(|| fault.to_owned());
    }

    fn refused(&self, message: String) -> Error {
        Error::new(ErrorKind::InvalidDefinition, "call model", message)
            .with_subject(self.named.model.clone())
    }

    /// A client that was made before does not know the change, and clones keep theirs.
    fn changed(mut self) -> Self {
        self.client = Arc::default();
        self
    }

    fn client(&self) -> Result<Client> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let mut config = ProviderConfig::from(());
        if let Some(url) = &self.base_url {
            config = config.with_endpoint(Endpoint::from_owned(url.as_str()));
        }
        if let Some(key) = &self.key {
            config = config.with_auth(AuthData::from_single(&*key.0));
        }
        let client = Client::builder()
            .with_reqwest(http::client(self.base_url.as_deref())?)
            .append_provider_config(self.named.kind, config)
            .build()
            .map_err(|error| self.subject().of(&error))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn subject(&self) -> Subject {
        let mut secrets: Vec<_> = self
            .headers
            .iter()
            .map(|(_, value)| value.clone())
            .collect();
        secrets.extend(self.key.clone());
        let variable = self.named.kind.default_key_env_name();
        let key = variable.and_then(|variable| std::env::var(variable).ok());
        secrets.extend(key.map(|key| Secret(key.into())));
        Subject {
            model: self.named.model.clone(),
            secrets,
        }
    }

    async fn ask(&self, request: ChatRequest) -> Result<ModelStream> {
        self.check()?;
        let client = self.client()?;
        let kind = self.named.kind;
        let namespace = provider::namespace(kind, &self.named.provider);
        let tap = Arc::new(Tap::new(request.include_raw));
        let turn = Turn {
            kind,
            reader: Reader {
                namespace,
                takes_unsigned: prompt::takes_unsigned(kind, self.base_url.is_none()),
            },
            provider: &self.named.provider,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.0.to_string()))
                .collect(),
            patience: self.patience,
            tap: Arc::clone(&tap),
        };
        let subject = self.subject();
        let turned = turn.turn(request);
        let (request, options) = turned.map_err(|message| subject.invalid(&message))?;
        let model = ModelIden::new(kind, self.named.model.as_str());
        let response = client
            .exec_chat_stream(model, request, Some(&options))
            .await;
        let stream = response.map_err(|error| subject.of(&error))?.stream;
        let needs_reason = matches!(
            kind,
            AdapterKind::OpenAIResp | AdapterKind::Ollama | AdapterKind::OllamaCloud
        );
        let answer = Answer::new(stream, tap, subject, namespace.to_owned(), needs_reason);
        Ok(Box::pin(answer.opened().await?))
    }
}

impl ChatModel for GenaiModel {
    fn provider(&self) -> &str {
        &self.named.provider
    }

    fn model_id(&self) -> &str {
        &self.named.model
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ModelStream>> {
        Box::pin(self.ask(request))
    }
}

impl fmt::Debug for GenaiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenaiModel")
            .field("provider", &self.named.provider)
            .field("model", &self.named.model)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
