//! UpdateFeatures (57): the levels of features are to change. Each stands at the highest we know and stays there: asking
//! for that level succeeds and changes nothing, everything else is refused in Kafka's words.
//!
//! Serves v0–2: v1 kinds of upgrade and only asking (KIP-778) · v2 without results by feature (KIP-1022). All flexible.
//! All updates of a request are made or none.

use std::sync::Arc;

use super::api_versions::FEATURES;
use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{CLUSTER, words};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

pub struct UpdateFeatures;

/// Kinds of updates (`FeatureUpdate.UpgradeType`).
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

impl Api for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    type Response = UpdateFeaturesResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: UpdateFeaturesRequest) -> Answer<UpdateFeaturesResponse> {
        if let Err(code) = cx.access(&call).check(Action::Alter, CLUSTER) {
            let (error_code, error_message) = (code.wire(), Some(words(code).into()));
            return Answer::Now(UpdateFeaturesResponse { error_code, error_message, ..Default::default() });
        }
        let refused = request.feature_updates.iter().find_map(|update| {
            let kind = match (call.version, update.allow_downgrade) {
                (0, true) => SAFE_DOWNGRADE,
                (0, false) => UPGRADE,
                _ => update.upgrade_type,
            };
            check(cx.options.node_id, update, kind).err().map(|why| {
                let level = update.max_version_level;
                format!("Invalid update version {level} for feature {}. {why}", update.feature)
            })
        });
        if let Some(why) = refused {
            let error_message =
                Some(format!("The update failed for all features since the following feature had an error: {why}"));
            let error_code = Code::InvalidUpdateVersion.wire();
            return Answer::Now(UpdateFeaturesResponse { error_code, error_message, ..Default::default() });
        }
        let result = |update: FeatureUpdateKey| UpdatableFeatureResult {
            feature: update.feature,
            error_code: Code::None.wire(),
            // Kafka's own words for it.
            error_message: Some(Code::None.to_string()),
        };
        let results = request.feature_updates.into_iter().map(result);
        Answer::Now(UpdateFeaturesResponse { error_message: None, results: results.collect(), ..Default::default() })
    }
}

/// Whether a feature can stand at a level: why not.
fn check(node: i32, update: &FeatureUpdateKey, kind: i8) -> Result<(), String> {
    if !matches!(kind, UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE) {
        return Err("The controller does not support the given upgrade type.".into());
    }
    let wanted = update.max_version_level;
    if wanted < 0 {
        return Err("A feature version cannot be less than 0.".into());
    }
    let now = FEATURES.iter().find(|(name, _)| *name == update.feature).map_or(0, |(_, level)| *level);
    if wanted > now && now == 0 {
        return Err(format!("Local controller {node} does not support this feature."));
    }
    if wanted > now {
        return Err(format!("Local controller {node} only supports versions 0-{now}"));
    }
    match wanted < now {
        true if kind == UPGRADE => {
            Err("Can't downgrade the version of this feature without setting the upgrade type to \
            either safe or unsafe downgrade."
                .into())
        }
        true => Err("This server has only this version.".into()),
        false => Ok(()),
    }
}
