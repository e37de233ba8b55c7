//! The HTTP face of the fake server.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::objects::{Change, Place, Refusal};
use super::{Call, Fate, Inner, text};

pub(super) type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// What a path names.
struct Target {
    place: Place,
    kind: &'static str,
    version: &'static str,
}

pub(super) async fn answer(api: &Arc<Inner>, request: Request<Body>) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    let target = target(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let watches = query.contains("watch=true");
    let call = if watches { Call::Watch } else { Call::Of(parts.method.clone()) };
    if api.deaf.load(Ordering::Relaxed) && target.place.plural != "leases" {
        return pending().await;
    }
    match api.fault(&call, &target.place.plural) {
        Some(Fate::Refused(code)) => return refused(Refusal(code, "Scripted"), "refused by the script"),
        Some(Fate::Silence) => return pending().await,
        Some(Fate::Stall) => {
            let nothing = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return Response::new(StreamBody::new(nothing).boxed_unsync());
        }
        Some(Fate::Slow(time)) => sleep(time).await,
        None => {}
    }
    let patch_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let strategic = patch_type.contains("strategic");
    let body = body.collect().await.expect("a request body").to_bytes();
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    let place = &target.place;
    let named = !place.name.is_empty();
    let result = match parts.method {
        Method::GET if watches => return watch(api, place, query),
        Method::GET if !named => return list(api, &target),
        Method::GET => api.objects().get(place).cloned(),
        Method::POST => {
            let place = Place { name: text(&body, "/metadata/name").to_owned(), ..place.clone() };
            let mut object = body;
            object["kind"] = json!(target.kind);
            object["apiVersion"] = json!(target.version);
            api.change(|objects| objects.create(&place, object))
        }
        Method::PUT => api.change(|objects| objects.replace(place, body)),
        Method::PATCH => api.change(|objects| objects.patch(place, &body, strategic)),
        Method::DELETE => {
            let uid = text(&body, "/preconditions/uid").to_owned();
            api.change(|objects| objects.delete(place, &uid))
        }
        ref other => panic!("the fake server has no {other}"),
    };
    match result {
        Ok(object) => whole(StatusCode::OK, &object),
        Err(refusal) => refused(refusal, &format!("{} \"{}\"", place.plural, place.name)),
    }
}

fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (kind, version) = match rest[0] {
        "persistentvolumeclaims" => ("PersistentVolumeClaim", "v1"),
        "persistentvolumes" => ("PersistentVolume", "v1"),
        "storageclasses" => ("StorageClass", "storage.k8s.io/v1"),
        "nodes" => ("Node", "v1"),
        "csinodes" => ("CSINode", "storage.k8s.io/v1"),
        "leases" => ("Lease", "coordination.k8s.io/v1"),
        "events" => ("Event", "v1"),
        other => panic!("the fake server has no {other}"),
    };
    let name = (*rest.get(1).unwrap_or(&"")).to_owned();
    Target { place: Place { plural: rest[0].to_owned(), namespace: namespace.to_owned(), name }, kind, version }
}

fn list(api: &Arc<Inner>, target: &Target) -> Response<Answer> {
    let objects = api.objects();
    let items = objects.of(&target.place.plural, &target.place.namespace);
    let metadata = json!({"resourceVersion": objects.version().to_string()});
    let kind = format!("{}List", target.kind);
    whole(StatusCode::OK, &json!({"kind": kind, "apiVersion": target.version, "metadata": metadata, "items": items}))
}

/// A watch: every change after the given version, until it is cut.
fn watch(api: &Arc<Inner>, place: &Place, query: &str) -> Response<Answer> {
    let version = query.split('&').find_map(|part| part.strip_prefix("resourceVersion="));
    let version: u64 = version.and_then(|text| text.parse().ok()).unwrap_or(0);
    if api.objects().since(&place.plural, version).is_none() {
        api.watches_expired.fetch_add(1, Ordering::Relaxed);
        let gone = json!({"type": "ERROR", "object": status(Refusal(410, "Expired"), "too old resource version")});
        return whole(StatusCode::OK, &gone);
    }
    let plural = place.plural.clone();
    let changed = api.changed.subscribe();
    let cut = api.cut.subscribe();
    let start = (Arc::clone(api), plural, version, changed, cut);
    let lines = stream::unfold(start, |(api, plural, version, mut changed, mut cut)| async move {
        loop {
            changed.borrow_and_update();
            let Some(news) = api.objects().since(&plural, version) else { break };
            if let Some(last) = news.last().map(|change| change.version) {
                let text: String = news.iter().map(line).collect();
                let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(text)));
                return Some((frame, (api, plural, last, changed, cut)));
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = cut.changed() => break,
            }
        }
        api.watches_ended.fetch_add(1, Ordering::Relaxed);
        None
    });
    Response::new(StreamBody::new(lines).boxed_unsync())
}

fn line(change: &Change) -> String {
    format!("{}\n", json!({"type": change.kind, "object": change.object}))
}

fn status(refusal: Refusal, message: &str) -> Value {
    let Refusal(code, reason) = refusal;
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{message}: {reason}"), "reason": reason, "code": code,
    })
}

fn refused(refusal: Refusal, message: &str) -> Response<Answer> {
    whole(StatusCode::from_u16(refusal.0).expect("a status code"), &status(refusal, message))
}

fn whole(code: StatusCode, body: &Value) -> Response<Answer> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync());
    *response.status_mut() = code;
    response
}
