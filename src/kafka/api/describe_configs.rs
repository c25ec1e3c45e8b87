//! DescribeConfigs (32): every setting with its value, where the value comes from, its type and its meaning.
//!
//! Serves v0–4: v1 sources, synonyms (KIP-226) · v3 type and documentation (KIP-569) · v4 flexible. Topics, this
//! broker, groups and client metrics have settings; loggers have none here. A secret is never told: none is kept.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::Access;
use crate::kafka::configs;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::overrides::Thing;
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
    let all = match kind {
        settings::TOPIC => {
            if let Some(problem) = cx::name_problem(name) {
                return Err(Refusal::new(Code::InvalidTopicException, problem));
            }
            let unknown = || Refusal::new(Code::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
            let stream = cx::topic(catalog, name).ok_or_else(unknown)?;
            settings::of_topic(cx, &stream.settings)
        }
        settings::BROKER => {
            settings::check_broker_name(cx, name)?;
            if name.is_empty() { settings::of_brokers(cx) } else { settings::of_broker(cx) }
        }
        settings::BROKER_LOGGER if name.is_empty() => return invalid("Broker id must not be empty".into()),
        settings::BROKER_LOGGER => settings::check_broker_name(cx, name).map(|()| Vec::new())?,
        settings::GROUP if name.is_empty() => return invalid("Group name must not be empty".into()),
        settings::GROUP => {
            let keys = (configs::GROUP, configs::INNER);
            settings::of_thing(cx, &Thing::Group(name.to_owned()), keys, Source::Group)
        }
        settings::CLIENT_METRICS if name.is_empty() => {
            return invalid("Client metrics subscription name must not be empty".into());
        }
        settings::CLIENT_METRICS => {
            let thing = Thing::ClientMetrics(name.to_owned());
            settings::of_thing(cx, &thing, (configs::CLIENT_METRICS, &[]), Source::ClientMetrics)
        }
        _ => return invalid(format!("Unsupported resource type: {kind}")),
    };
    Ok(all.into_iter().map(|described| config(detail, described)).collect())
}

fn config(detail: Detail, described: Described) -> DescribeConfigsResourceResult {
    let Described { what, value, source, synonyms, read_only } = described;
    let synonyms = synonyms.into_iter().map(|(name, value, source)| DescribeConfigsSynonym {
        name: name.to_owned(),
        value,
        source: source.wire(),
    });
    DescribeConfigsResourceResult {
        name: what.name().to_owned(),
        value,
        read_only,
        is_default: detail.version == 0 && source == Source::Default,
        config_source: source.wire(),
        is_sensitive: what.is_secret(),
        synonyms: if detail.synonyms { synonyms.collect() } else { Vec::new() },
        config_type: what.kind(),
        documentation: detail.documentation.then(|| what.doc()),
    }
}
