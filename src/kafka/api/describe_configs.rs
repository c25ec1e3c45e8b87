//! DescribeConfigs (32): every setting with its value, where the value comes from, its type and its meaning.
//!
//! Serves v0–4: v1 sources, synonyms (KIP-226) · v3 type and documentation (KIP-569) · v4 flexible. Topics and this
//! broker have settings; groups, client metrics and loggers have none here, and are answered with none. Values are
//! never secret: no key holds one.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::Access;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::settings::{self, Described, Source};
use crate::kafka::wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

pub struct DescribeConfigs;

/// What a request wants to know of each setting.
#[derive(Clone, Copy)]
struct Detail {
    version: i16,
    synonyms: bool,
    documentation: bool,
}

impl Api for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeConfigsRequest) -> Answer<DescribeConfigsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let detail = Detail {
            version: call.version,
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let results = request.resources.into_iter();
        let results = results.map(|resource| result(&cx, &access, &catalog, detail, resource)).collect();
        Answer::Now(DescribeConfigsResponse { results, ..Default::default() })
    }
}

fn result(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    detail: Detail,
    resource: DescribeConfigsResource,
) -> DescribeConfigsResult {
    let DescribeConfigsResource { resource_type, resource_name, configuration_keys } = resource;
    let may = settings::check_access(access, Action::DescribeConfigs, resource_type, &resource_name);
    let described = may.and_then(|()| describe(cx, catalog, detail, resource_type, &resource_name));
    let (code, error_message, mut configs) = match described {
        Ok(configs) => (Code::None, None, configs),
        Err(Refusal { code, message }) => (code, Some(message), Vec::new()),
    };
    if let Some(names) = configuration_keys.filter(|names| !names.is_empty()) {
        configs.retain(|config| names.contains(&config.name));
    }
    DescribeConfigsResult { error_code: code.wire(), error_message, resource_type, resource_name, configs }
}

fn describe(
    cx: &Cx,
    catalog: &Catalog,
    detail: Detail,
    kind: i8,
    name: &str,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let invalid = |why: String| Err(Refusal::new(Code::InvalidRequest, why));
    match kind {
        settings::TOPIC => {
            if let Some(problem) = cx::name_problem(name) {
                return Err(Refusal::new(Code::InvalidTopicException, problem));
            }
            let unknown = || Refusal::new(Code::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
            let stream = cx::topic(catalog, name).ok_or_else(unknown)?;
            let all = settings::of_topic(cx, &stream.settings);
            Ok(all.into_iter().map(|described| config(detail, described, false)).collect())
        }
        settings::BROKER => {
            settings::check_broker_name(cx, name)?;
            // No name: what was set for all brokers while they ran, which is nothing.
            if name.is_empty() {
                return Ok(Vec::new());
            }
            let mut all: Vec<_> =
                settings::of_broker(cx).into_iter().map(|described| config(detail, described, true)).collect();
            all.extend(settings::facts(cx).into_iter().map(|fact| self::fact(detail, fact)));
            Ok(all)
        }
        settings::BROKER_LOGGER => settings::check_broker_name(cx, name).map(|()| Vec::new()),
        settings::GROUP | settings::CLIENT_METRICS if name.is_empty() => {
            invalid("The name of the resource must not be empty.".into())
        }
        settings::GROUP | settings::CLIENT_METRICS => Ok(Vec::new()),
        _ => invalid(format!("Unsupported resource type: {kind}")),
    }
}

fn config(detail: Detail, described: Described, read_only: bool) -> DescribeConfigsResourceResult {
    let Described { key, value, source, synonyms } = described;
    let synonyms = synonyms.into_iter().map(|(name, value, source)| DescribeConfigsSynonym {
        name: name.to_owned(),
        value: Some(value),
        source: source.wire(),
    });
    DescribeConfigsResourceResult {
        name: key.name.to_owned(),
        value: Some(value),
        read_only,
        is_default: detail.version == 0 && source == Source::Default,
        config_source: source.wire(),
        is_sensitive: false,
        synonyms: if detail.synonyms { synonyms.collect() } else { Vec::new() },
        config_type: settings::type_of(key),
        documentation: detail.documentation.then(|| settings::doc_of(key)),
    }
}

fn fact(detail: Detail, (name, kind, value, doc): (&str, i8, String, &str)) -> DescribeConfigsResourceResult {
    let synonym =
        || DescribeConfigsSynonym { name: name.to_owned(), value: Some(value.clone()), source: Source::Default.wire() };
    DescribeConfigsResourceResult {
        name: name.to_owned(),
        value: Some(value.clone()),
        read_only: true,
        is_default: detail.version == 0,
        config_source: Source::Default.wire(),
        is_sensitive: false,
        synonyms: if detail.synonyms { vec![synonym()] } else { Vec::new() },
        config_type: kind,
        documentation: detail.documentation.then(|| doc.to_owned()),
    }
}
