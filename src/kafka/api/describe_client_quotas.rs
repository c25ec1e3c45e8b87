//! DescribeClientQuotas (48): the quotas of users, client ids and addresses that a filter fits.
//!
//! Serves v0–1: v1 flexible (KIP-546). A filter names kinds of entities, each exactly, its default, or any; a strict one
//! wants no other kind beside.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::overrides::{Clients, Name, Thing};
use crate::kafka::wire::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

pub struct DescribeClientQuotas;

/// Kinds of entities (`ClientQuotaEntity`).
pub(super) const USER: &str = "user";
pub(super) const CLIENT_ID: &str = "client-id";
pub(super) const IP: &str = "ip";

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

impl Api for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    type Response = DescribeClientQuotasResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: DescribeClientQuotasRequest,
    ) -> Answer<DescribeClientQuotasResponse> {
        let may = cx.access(&call).check_in_words(Action::DescribeConfigs, access::CLUSTER);
        let filter = match may.and_then(|()| Filter::of(&request.components, request.strict)) {
            Ok(filter) => filter,
            Err(Refusal { code, message }) => {
                let (error_code, error_message) = (code.wire(), Some(message));
                let refused =
                    DescribeClientQuotasResponse { error_code, error_message, entries: None, ..Default::default() };
                return Answer::Now(refused);
            }
        };
        let standing = cx.overrides.standing();
        let entries = standing.state.things.iter().filter_map(|(thing, settings)| {
            let Thing::Clients(clients) = thing else { return None };
            let values = settings.iter().filter_map(|(key, text)| {
                // What stands was judged.
                Some(ValueData { key: key.clone(), value: text.parse().ok()? })
            });
            filter.fits(clients).then(|| EntryData { entity: entity(clients), values: values.collect() })
        });
        let entries = Some(entries.collect());
        Answer::Now(DescribeClientQuotasResponse { error_message: None, entries, ..Default::default() })
    }
}

/// What is wanted of one kind of entity.
enum Wanted {
    Is(Name),
    Any,
}

impl Wanted {
    fn fits(&self, name: Option<&Name>) -> bool {
        match self {
            Wanted::Is(wanted) => name == Some(wanted),
            Wanted::Any => name.is_some(),
        }
    }
}

#[derive(Default)]
struct Filter {
    user: Option<Wanted>,
    client: Option<Wanted>,
    address: Option<Wanted>,
    strict: bool,
}

impl Filter {
    fn of(components: &[ComponentData], strict: bool) -> Result<Filter, Refusal> {
        let invalid = |why: &str| Refusal::new(Code::InvalidRequest, why);
        let mut filter = Filter { strict, ..Filter::default() };
        for ComponentData { entity_type, match_type, r#match } in components {
            let place = match entity_type.as_str() {
                "" => return Err(invalid("Invalid empty entity type.")),
                USER => &mut filter.user,
                CLIENT_ID => &mut filter.client,
                IP => &mut filter.address,
                other => {
                    return Err(Refusal::new(Code::UnsupportedVersion, format!("Unsupported entity type {other}")));
                }
            };
            if place.is_some() {
                let why = format!("Entity type {entity_type} cannot appear more than once in the filter.");
                return Err(invalid(&why));
            }
            *place = Some(match (*match_type, r#match) {
                (EXACT, Some(name)) => Wanted::Is(Name::Is(name.clone())),
                (DEFAULT, None) => Wanted::Is(Name::Default),
                (ANY, None) => Wanted::Any,
                (EXACT, None) => {
                    return Err(invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."));
                }
                (DEFAULT, Some(_)) => {
                    return Err(invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string."));
                }
                (ANY, Some(_)) => {
                    return Err(invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."));
                }
                (other, _) => return Err(invalid(&format!("Unknown match type {other}"))),
            });
        }
        if filter.address.is_some() && (filter.user.is_some() || filter.client.is_some()) {
            return Err(invalid(
                "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
                 filter component.",
            ));
        }
        Ok(filter)
    }

    fn fits(&self, clients: &Clients) -> bool {
        let parts = [(&self.user, &clients.user), (&self.client, &clients.client), (&self.address, &clients.address)];
        parts.iter().all(|(wanted, name)| match wanted {
            Some(wanted) => wanted.fits(name.as_ref()),
            None => !self.strict || name.is_none(),
        })
    }
}

fn entity(Clients { user, client, address }: &Clients) -> Vec<EntityData> {
    let parts = [(CLIENT_ID, client), (IP, address), (USER, user)];
    let named = parts.into_iter().filter_map(|(kind, name)| {
        let entity_name = match name.as_ref()? {
            Name::Default => None,
            Name::Is(name) => Some(name.clone()),
        };
        Some(EntityData { entity_type: kind.to_owned(), entity_name })
    });
    named.collect()
}
