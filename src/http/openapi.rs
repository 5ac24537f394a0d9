//! The API's description: collected from the handlers, then filled in with what stands in the registries.

use serde_json::{Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components, Content, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        schema::Schema,
        security::{Http, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    edit::EDIT_METHODS,
    guidance::GUIDANCES,
    http::{a1111::errors, auth::SCHEME, dialect::Dialect, error::Document, openai::stream::Picture},
    job::Job,
    registry::Entry,
    sampler::SAMPLERS,
    schedule::SCHEDULES,
    wrapper::{MOST_WRAPPERS, WRAPPERS},
};

/// The frame that the routes are collected into.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "darkroom",
        description = "Text to pictures over HTTP: a durable queue, pictures, progress and metrics. Errors are problem \
            documents (RFC 9457); every answer carries `x-request-id`."
    ),
    components(schemas(Document, errors::Document, Job, Picture)),
    tags(
        (name = "generations", description = "Asking for pictures, new or edited"),
        (name = "jobs", description = "What becomes of a request"),
        (name = "pictures", description = "Pictures and files"),
        (name = "openai", description = "The same in the words of OpenAI's clients"),
        (name = "registries", description = "What can be asked for"),
        (name = "a1111", description = "The API of AUTOMATIC1111's web UI, for clients that speak it"),
        (name = "service", description = "The service itself"),
    ),
)]
pub struct Frame;

/// Fills in what the types cannot say: options and names of the registries, and the problem that every route may answer.
pub struct Fill;

impl Modify for Fill {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_with(Components::default);
        for (name, kind) in [("Problem", "application/problem+json"), ("SdapiError", "application/json")] {
            let problem = ResponseBuilder::new()
                .description("The request was not done; the document says why.")
                .content(kind, Content::new(Some(RefOr::Ref(Ref::from_schema_name(name)))))
                .build();
            components.responses.insert(name.into(), RefOr::T(problem));
        }
        components.add_security_scheme(SCHEME, SecurityScheme::Http(key_scheme()));
        fill_choices(components);
        for (path, item) in &mut openapi.paths.paths {
            let name = if Dialect::of(path) == Dialect::A1111 { "SdapiError" } else { "Problem" };
            for operation in operations(item) {
                operation.responses.responses.insert("default".into(), RefOr::Ref(Ref::from_response_name(name)));
            }
        }
    }
}

fn key_scheme() -> Http {
    let about = "An API key (`dk_...`, or as the password of HTTP Basic) or a JSON web token; the scopes beside an operation \
                 are those of which the key needs one. A service on loopback needs none by default.";
    HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete].into_iter().filter_map(Option::as_mut)
}

fn fill_choices(components: &mut Components) {
    let number = json!({ "type": "number", "description": "Classifier-free guidance of this scale." });
    let choices = [
        ("sampler", choice("Sampler", components, SAMPLERS.iter().map(|item| &item.entry), None)),
        ("schedule", choice("Schedule", components, SCHEDULES.iter().map(|item| &item.entry), None)),
        ("guidance", choice("Guidance", components, GUIDANCES.iter().map(|item| &item.entry), Some(number))),
    ];
    let wrapper = choice("Wrapper", components, WRAPPERS.iter().map(|item| &item.entry), None);
    for sampler in SAMPLERS {
        wrapped(components, &format!("Sampler_{}", sampler.entry.name), &wrapper);
    }
    let method = choice("EditMethod", components, EDIT_METHODS.iter().map(|item| &item.entry), None);
    let edits = choices.iter().cloned().chain([("method", method)]).collect::<Vec<_>>();
    fill(components, "GenerateRequest", &choices);
    fill(components, "EditRequest", &edits);
    fill(components, "EditForm", &edits);
    fill(components, "InversionRequest", &edits);
}

/// Puts the choices into the fields of a request.
fn fill(components: &mut Components, name: &str, choices: &[(&str, Value)]) {
    let Some(RefOr::T(Schema::Object(request))) = components.schemas.get_mut(name) else { return };
    for (field, filled) in choices {
        let mut schema = filled.clone();
        let old = request.properties.get(*field).map(|old| serde_json::to_value(old).expect("a schema is JSON"));
        schema["description"] = old.map_or(Value::Null, |old| old["description"].clone());
        request.properties.insert((*field).into(), read(schema));
    }
}

/// Adds what may go around a sampler to its schema.
fn wrapped(components: &mut Components, name: &str, wrapper: &Value) {
    let Some(RefOr::T(Schema::Object(sampler))) = components.schemas.get_mut(name) else { return };
    let about = "What goes around it, outermost first; `carries` in `/v1/samplers` says what may.";
    let list = json!({ "type": "array", "maxItems": MOST_WRAPPERS, "items": wrapper, "description": about });
    sampler.properties.insert("wrap".into(), read(list));
}

/// A name, or an object with a name and its options; each entry's options become a schema of their own.
fn choice<'a, T: ?Sized + 'static>(
    kind: &str,
    components: &mut Components,
    entries: impl Iterator<Item = &'a Entry<T>>,
    other: Option<Value>,
) -> Value {
    let (mut names, mut forms) = (Vec::new(), Vec::new());
    for entry in entries {
        let schema = format!("{kind}_{}", entry.name);
        forms.push(json!({ "$ref": format!("#/components/schemas/{schema}") }));
        components.schemas.insert(schema, read(named(entry)));
        names.push(entry.name);
    }
    let forms: Vec<_> = [json!({ "type": "string", "enum": names })].into_iter().chain(other).chain(forms).collect();
    json!({ "oneOf": forms })
}

/// The schema of an entry's options, with its name among them.
fn named<T: ?Sized + 'static>(entry: &Entry<T>) -> Value {
    let mut schema = entry.schema();
    schema["title"] = entry.title.into();
    // An enum of one, because the description's types know no `const`: it is what tells entries with equal options apart.
    schema["properties"]["name"] = json!({ "type": "string", "enum": [entry.name] });
    schema["required"] = json!(["name"]);
    schema
}

fn read(schema: Value) -> RefOr<Schema> {
    serde_json::from_value(schema).expect("registry schemas are OpenAPI schemas")
}
