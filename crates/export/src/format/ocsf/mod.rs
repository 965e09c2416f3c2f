//! One OCSF 1.8.0 event a line.
//!
//! An event becomes an event of one class ([`class`]); what OCSF has no place for stands under `unmapped` as it was. Personal fields that
//! were withheld or erased keep the text `[personal]` where OCSF has strings, and are left out where it has something else.

mod class;
mod event;
mod object;

use std::borrow::Cow;

use self::class::{
    ACCOUNT_CHANGE, API_ACTIVITY, AUTHENTICATION, BASE_EVENT, Class, DATASTORE_ACTIVITY, ENTITY_MANAGEMENT,
    GROUP_MANAGEMENT, USER_ACCESS,
};
use self::event::{Event, Kind, Target};
use self::object::Object;
use super::malformed;
use crate::{Error, Record};

/// The version of OCSF.
pub(super) const VERSION: &str = "1.8.0";

pub(super) struct Ocsf {
    tenant: String,
    origin: String,
}

impl Ocsf {
    pub(super) fn new(tenant: &str, origin: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            origin: origin.to_owned(),
        }
    }

    pub(super) fn record(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let is_event = record.kind == "event";
        let text = if is_event { record.event } else { "{}" };
        let event = Event::of(text).map_err(|error| malformed(record, &error))?;
        let (class, activity) = match is_event {
            true => class::of(&event),
            false => (&BASE_EVENT, class::OTHER),
        };
        Object::write(out, |object| {
            head(object, record, &event, class, activity);
            self.metadata(object, record, &event);
            if *class != BASE_EVENT {
                object.object("actor", |actor| write_actor(actor, &event));
                endpoint(object, &event);
                http_request(object, &event);
            }
            subject(object, &event, class);
            unmapped(object, record, &event, class);
        });
        out.push(b'\n');
        Ok(())
    }

    fn metadata(&self, object: &mut Object<'_>, record: &Record<'_>, event: &Event<'_>) {
        object.object("metadata", |metadata| {
            metadata.string("version", VERSION);
            metadata.object("product", |product| {
                product.string("name", "Attestore");
                product.string("vendor_name", "Attestore");
            });
            metadata.string("uid", record.id);
            metadata.number("sequence", record.seq);
            metadata.string("log_name", &self.origin);
            metadata.string("tenant_uid", &self.tenant);
            metadata.some("log_provider", event.source.string("service"));
            metadata.number("logged_time", record.received_at_ms);
            metadata.some("original_time", event.all.string("occurred_at"));
            let request = event.context.string("request_id");
            metadata.some(
                "correlation_uid",
                request.or_else(|| event.context.string("trace_id")),
            );
            if !event.action.is_empty() {
                metadata.string("event_code", &event.action);
            }
        });
    }
}

/// Class, time, severity, outcome.
fn head(object: &mut Object<'_>, record: &Record<'_>, event: &Event<'_>, class: &Class, activity: u32) {
    let activity_name = class.activity_name(activity);
    object.number("activity_id", activity);
    object.string("activity_name", activity_name);
    object.number("category_uid", class.category);
    object.string("category_name", class.category_name);
    object.number("class_uid", class.uid);
    object.string("class_name", class.name);
    object.number("type_uid", class.uid * 100 + activity);
    object.string("type_name", format!("{}: {activity_name}", class.name));
    let (severity, name) = severity(event.all.string("severity").as_deref());
    object.number("severity_id", severity);
    object.string("severity", name);
    object.number(
        "time",
        time_ms(event).unwrap_or(i128::from(record.received_at_ms)),
    );
    let message = match event.action.is_empty() {
        true => Cow::Borrowed(record.kind),
        false => Cow::Borrowed(&*event.action),
    };
    object.string("message", message);
    let outcome = event.all.string("outcome");
    if let Some(outcome) = outcome.as_deref() {
        let (id, name) = match outcome {
            "success" => (1, "Success"),
            "failure" | "denied" => (2, "Failure"),
            _ => (0, "Unknown"),
        };
        object.number("status_id", id);
        object.string("status", name);
        let reason = event.all.inside("outcome_reason").unwrap_or_default();
        object.some("status_code", reason.string("code"));
        let detail = reason.string("message");
        let denied = (outcome == "denied").then_some(Cow::Borrowed("denied"));
        object.some("status_detail", detail.or(denied));
    }
}

fn severity(severity: Option<&str>) -> (u32, &'static str) {
    match severity {
        Some("debug" | "info") => (1, "Informational"),
        Some("notice") => (2, "Low"),
        Some("warning") => (3, "Medium"),
        Some("error") => (4, "High"),
        Some("critical" | "alert") => (5, "Critical"),
        Some("emergency") => (6, "Fatal"),
        _ => (0, "Unknown"),
    }
}

fn time_ms(event: &Event<'_>) -> Option<i128> {
    let time: jiff::Timestamp = event.all.string("occurred_at")?.parse().ok()?;
    Some(i128::from(time.as_millisecond()))
}

fn write_actor(object: &mut Object<'_>, event: &Event<'_>) {
    object.object("user", |user| actor_as_user(user, event));
    if let Some(session) = event.context.string("session_id") {
        object.object("session", |object| object.string("uid", session));
    }
}

fn actor_as_user(user: &mut Object<'_>, event: &Event<'_>) {
    let actor = &event.actor;
    let ty = actor.string("type").unwrap_or_default();
    let (id, name) = match ty.to_ascii_lowercase().as_str() {
        "admin" | "administrator" | "root" => (2, "Admin"),
        "system" => (3, "System"),
        "service" | "role" | "job" | "api_key" | "application" => (4, "Service"),
        "user" | "human" | "person" | "employee" | "customer" | "member" | "contractor" | "iam_user"
        | "role_session" => (1, "User"),
        _ => (99, &*ty),
    };
    user.string("uid", actor.string("id").unwrap_or_default());
    user.some("name", actor.string("name"));
    user.some(
        "email_addr",
        actor.string("email").filter(|email| *email != PERSONAL),
    );
    user.some("credential_uid", actor.string("credential_id"));
    user.number("type_id", id);
    user.string("type", name);
}

/// From where it was done.
fn endpoint(object: &mut Object<'_>, event: &Event<'_>) {
    if !event.has_endpoint() {
        return;
    }
    let context = &event.context;
    object.object("src_endpoint", |endpoint| {
        let (ip, host) = (context.string("ip"), context.string("host"));
        if [&ip, &host]
            .iter()
            .any(|value| value.as_deref() == Some(PERSONAL))
        {
            endpoint.string("name", PERSONAL);
        }
        endpoint.some("ip", ip.filter(|ip| *ip != PERSONAL));
        endpoint.some("hostname", host.filter(|host| *host != PERSONAL));
    });
}

fn http_request(object: &mut Object<'_>, event: &Event<'_>) {
    let agent = event.context.string("user_agent");
    if event.http.0.is_empty() && agent.is_none() {
        return;
    }
    object.object("http_request", |request| {
        request.some(
            "http_method",
            event.http.string("method").map(|m| m.to_ascii_uppercase()),
        );
        if let Some(path) = event.http.string("path") {
            request.object("url", |url| url.string("path", path));
        }
        request.some("user_agent", agent);
        request.some("uid", event.context.string("request_id"));
    });
}

/// What it was done to, as the class has it.
fn subject(object: &mut Object<'_>, event: &Event<'_>, class: &Class) {
    let first = event.targets.first();
    let user = event.target(Kind::User);
    let as_user = |object: &mut Object<'_>| match user {
        Some(target) => object.object("user", |user| {
            named(user, target);
            user.number("type_id", 1);
            user.string("type", "User");
        }),
        None => object.object("user", |user| actor_as_user(user, event)),
    };
    match class {
        class if *class == AUTHENTICATION => {
            as_user(object);
            let service = event.source.string("service");
            object.object("service", |object| match service {
                Some(service) => object.string("name", service),
                None => object.string("name", event.noun()),
            });
        }
        class if *class == ACCOUNT_CHANGE => as_user(object),
        class if *class == USER_ACCESS => {
            as_user(object);
            let others = event.targets.iter().filter(|target| target.kind() != Kind::User);
            let names: Vec<Cow<'_, str>> = others.filter_map(name_of).collect();
            object.value("privileges", |out| match names.is_empty() {
                true => crate::json::push(out, &[&event.action]),
                false => crate::json::push(out, &names),
            });
        }
        class if *class == GROUP_MANAGEMENT => {
            if let Some(target) = event.target(Kind::Group) {
                object.object("group", |group| named(group, target));
            }
            if user.is_some() {
                as_user(object);
            }
        }
        class if *class == ENTITY_MANAGEMENT => {
            if let Some(target) = first {
                object.object("entity", |entity| {
                    named(entity, target);
                    entity.some("type", target.0.string("type"));
                });
            }
        }
        class if *class == API_ACTIVITY => {
            object.object("api", |api| {
                api.string("operation", &event.action);
                if let Some(service) = event.source.string("service") {
                    api.object("service", |object| {
                        object.string("name", service);
                        object.some("version", event.source.string("version"));
                    });
                }
            });
            if let Some(status) = event
                .http
                .get("status")
                .filter(|status| *status != QUOTED_PERSONAL)
            {
                object.object("http_response", |response| response.raw("code", Some(status)));
            }
            if first.is_some() {
                object.array("resources", &event.targets, |resource, target| {
                    named(resource, target);
                    resource.some("type", target.0.string("type"));
                    resource.raw("data", target.0.get("attributes"));
                });
            }
        }
        class if *class == DATASTORE_ACTIVITY => {
            if let Some(target) = first {
                let (name, typed) = match target.kind() {
                    Kind::Table => ("table", false),
                    Kind::Database => ("database", true),
                    _ => ("databucket", true),
                };
                object.object(name, |store| {
                    named(store, target);
                    if typed {
                        store.number("type_id", 0);
                        store.string("type", "Unknown");
                    }
                });
            }
        }
        _ => {}
    }
}

/// Id and name of a target.
fn named(object: &mut Object<'_>, target: &Target<'_>) {
    object.string("uid", target.0.string("id").unwrap_or_default());
    object.some("name", target.0.string("name"));
}

fn name_of<'a>(target: &Target<'a>) -> Option<Cow<'a, str>> {
    target.0.string("name").or_else(|| target.0.string("id"))
}

/// Everything that has no other place, as it was.
fn unmapped(object: &mut Object<'_>, record: &Record<'_>, event: &Event<'_>, class: &Class) {
    object.object("unmapped", |unmapped| {
        if record.kind != "event" {
            unmapped.string("kind", record.kind);
            unmapped.raw("control", Some(record.event));
        }
        if record.erased {
            unmapped.value("erased", |out| out.extend_from_slice(b"true"));
        }
        unmapped.raw("operation", event.all.get("operation"));
        let denied = event
            .all
            .string("outcome")
            .is_some_and(|outcome| outcome == "denied");
        if denied {
            unmapped.string("outcome", "denied");
        }
        if *class == BASE_EVENT {
            unmapped.raw("actor", event.all.get("actor"));
        } else {
            unmapped.raw("actor_type", event.actor.get("type"));
            unmapped.raw("on_behalf_of", event.actor.get("on_behalf_of"));
        }
        // The API's resources hold whole targets; everything else the first one at most.
        let whole = *class == API_ACTIVITY;
        let more = event.targets.len() > 1 || event.targets.iter().any(Target::has_attributes);
        if !whole && (more || *class != ENTITY_MANAGEMENT) {
            unmapped.raw("targets", event.all.get("targets"));
        }
        for name in ["source", "justification"] {
            unmapped.raw(name, event.all.get(name));
        }
        if *class == BASE_EVENT {
            unmapped.raw("context", event.all.get("context"));
        } else {
            for name in ["location", "trace_id", "span_id"] {
                unmapped.raw(name, event.context.get(name));
            }
            if *class != API_ACTIVITY {
                unmapped.raw("http_status", event.http.get("status"));
            }
        }
        for name in [
            "changes",
            "data_subjects",
            "classification",
            "data_categories",
            "idempotency_key",
            "metadata",
            "payload",
        ] {
            unmapped.raw(name, event.all.get(name));
        }
    });
}

/// What stands where a personal field was withheld or erased.
const PERSONAL: &str = "[personal]";
const QUOTED_PERSONAL: &str = "\"[personal]\"";

#[cfg(test)]
mod tests;
