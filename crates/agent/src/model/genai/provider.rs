//! Which adapter a name such as `openai/gpt-4o-mini` means.

use ::genai::adapter::AdapterKind;
use bowline_events::Text;

use crate::{Error, ErrorKind, Result};

/// A model at a provider.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// As the user writes it: `openai`.
    pub(super) provider: Text,
    /// As the provider calls it.
    pub(super) model: Text,
    pub(super) kind: AdapterKind,
}

/// Names by which providers are known elsewhere.
const ALIASES: [(&str, AdapterKind); 5] = [
    ("google", AdapterKind::Gemini),
    ("openrouter", AdapterKind::OpenRouter),
    ("togetherai", AdapterKind::Together),
    ("moonshotai", AdapterKind::Moonshot),
    ("qwen", AdapterKind::QwenCloud),
];

impl Named {
    /// Reads `provider/model`.
    pub(super) fn read(spec: &str) -> Result<Self> {
        let refuse = |message: String| {
            Err(
                Error::new(ErrorKind::InvalidDefinition, "call model", message)
                    .with_subject(spec.to_owned()),
            )
        };
        let Some((provider, model)) = spec.split_once('/') else {
            return refuse(
                "it does not say whose model it is; write provider/model, such as openai/gpt-4o-mini"
                    .to_owned(),
            );
        };
        if model.is_empty() {
            return refuse(format!(
                "which model of {provider} is not said; write {provider}/model"
            ));
        }
        let alias = ALIASES.iter().find(|(name, _)| *name == provider);
        let kind = alias
            .map(|(_, kind)| *kind)
            .or_else(|| AdapterKind::from_lower_str(provider));
        match kind {
            Some(kind) => Ok(Self {
                provider: provider.to_owned().into(),
                model: model.to_owned().into(),
                kind: best(kind, model),
            }),
            None => refuse(format!(
                "no provider is called {provider}; use one of {}, or GenaiModel::openai_compatible",
                known().join(", ")
            )),
        }
    }
}

/// OpenAI serves some models by its newer protocol only.
fn best(kind: AdapterKind, model: &str) -> AdapterKind {
    match AdapterKind::from_model(model) {
        Ok(AdapterKind::OpenAIResp) if kind == AdapterKind::OpenAI => AdapterKind::OpenAIResp,
        _ => kind,
    }
}

fn known() -> Vec<&'static str> {
    let mut names: Vec<_> = AdapterKind::all()
        .iter()
        .map(AdapterKind::as_lower_str)
        .collect();
    names.extend(ALIASES.iter().map(|(name, _)| name));
    names.sort_unstable();
    names
}

/// Under which name what only this provider knows is kept, as programs of the reference do it.
pub(super) fn namespace(kind: AdapterKind, provider: &str) -> &str {
    match kind {
        AdapterKind::Gemini | AdapterKind::GeminiIx | AdapterKind::Vertex => "google",
        AdapterKind::OpenAI | AdapterKind::OpenAIResp if provider == "openai" => "openai",
        _ => provider,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_who_serves_which_model() {
        for (spec, kind, model) in [
            ("openai/gpt-4o-mini", AdapterKind::OpenAI, "gpt-4o-mini"),
            ("openai/gpt-5", AdapterKind::OpenAIResp, "gpt-5"),
            ("anthropic/claude-x", AdapterKind::Anthropic, "claude-x"),
            ("google/gemini-x", AdapterKind::Gemini, "gemini-x"),
            ("openrouter/a/b", AdapterKind::OpenRouter, "a/b"),
            ("ollama/gpt-5", AdapterKind::Ollama, "gpt-5"),
        ] {
            let named = Named::read(spec).unwrap();
            assert_eq!((named.kind, named.model.as_str()), (kind, model), "{spec}");
        }
        for (spec, remedy) in [
            ("gpt-4o-mini", "provider/model"),
            ("openai/", "openai/model"),
            ("nobody/x", "openai_compatible"),
        ] {
            let error = Named::read(spec).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidDefinition);
            assert!(error.message().contains(remedy), "{error}");
        }
    }
}
