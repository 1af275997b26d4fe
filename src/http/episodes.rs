//! Episodes. A change flows straight down: who, what, may they; one transaction; `announce`; the answer.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use callboard_actors::model::episode::{Episode, Fields as Episodic, Status};
use callboard_actors::model::policy::Action;
use callboard_actors::model::presence::Subject;
use callboard_actors::presence_registry::Viewers;

use super::call::{Answer, Call, list as page};
use super::fields::{Body, Fields, Given};
use super::version::IfMatch;
use crate::error::ApiError;
use crate::store::episodes::{self, Change, Expected, Filter};

const WHAT: &str = "episode";
const TITLE: usize = 300;
const NUMBER: i64 = 1_000_000;
const SEASON: i64 = 1_000_000;
const TEAM: usize = 100;
const DESCRIPTION: usize = 65_536;
/// Of the metadata: bytes of JSON, and how deep. Each change carries it twice.
const METADATA: usize = 256 * 1024;
const DEPTH: usize = 32;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(
            web::resource("/episodes")
                .route(web::get().to(list))
                .route(web::post().to(create)),
        )
        .service(
            web::resource("/episodes/{id}")
                .route(web::get().to(show))
                .route(web::put().to(replace))
                .route(web::patch().to(update))
                .route(web::delete().to(delete)),
        )
        .service(web::resource("/episodes/{id}/publish").route(web::post().to(publish)));
}

async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadEpisodes)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let filter = Filter {
        status: query.parsed("status", "draft, in_production, published or archived"),
        season: query.integer("season", 0, SEASON),
        team: query.text("team", TEAM),
        q: query.text("q", 200),
    };
    query.finish()?;
    let rows = episodes::list(&call.state.store, &filter, limit, cursor.as_deref()).await?;
    page(rows, limit)
}

async fn create(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::WriteEpisodes)?;
    call.no_query()?;
    let mut body = body.fields()?;
    let fields = whole(&mut body, Status::Draft);
    body.finish()?;
    let store = &call.state.store;
    let (who, origin) = (call.who.user.clone(), call.origin());
    let (episode, entry) = episodes::insert(store, fields, who, origin).await?;
    call.state.announce(entry);
    let version = episode.version;
    Answer::created(&episode, format!("/api/v1/episodes/{}", episode.id))
        .message("Episode created")
        .version(version)
        .respond()
}

/// An episode, and who is looking at it.
#[derive(Serialize)]
struct Viewed {
    #[serde(flatten)]
    episode: Episode,
    viewers: Viewers,
}

async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadEpisodes)?;
    let episode = found(&call).await?;
    call.no_query()?;
    let subject = Subject::episode(episode.id);
    let viewers = call.state.view(&call.who, subject).await;
    let version = episode.version;
    Answer::ok(Viewed { episode, viewers })
        .version(version)
        .respond()
}

async fn replace(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::WriteEpisodes)?;
    let seen = found(&call).await?;
    call.no_query()?;
    let mut body = body.fields()?;
    // Every field but the status can be cleared; left out, that one stays.
    let status = body.one_of::<Status>("status");
    let status = body.not_null("status", status);
    let fields = whole(&mut body, Status::Draft);
    body.finish()?;
    save(&call, seen, move |old| {
        let status = status.unwrap_or(old.status);
        *old = Episodic {
            status,
            ..fields.clone()
        };
    })
    .await
}

async fn update(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::WriteEpisodes)?;
    let seen = found(&call).await?;
    call.no_query()?;
    let mut body = body.fields()?;
    let edit = Edit::read(&mut body);
    body.finish()?;
    save(&call, seen, move |old| edit.clone().apply(old)).await
}

async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::WriteEpisodes)?;
    let id = found(&call).await?.id;
    call.no_query()?;
    let (_, entry) = episodes::delete(&call.state.store, id, change(&call)).await?;
    call.state.announce(entry);
    Answer::ok(json!({ "id": id }))
        .message("Episode deleted")
        .respond()
}

async fn publish(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::WriteEpisodes)?;
    let seen = found(&call).await?;
    call.no_query()?;
    body.fields_if_any()?.finish()?;
    let (episode, entry) = episodes::publish(&call.state.store, seen, change(&call)).await?;
    call.state.announce(entry);
    let version = episode.version;
    Answer::ok(episode)
        .message("Episode published")
        .version(version)
        .respond()
}

/// The episode that the path names: looked for before the body is, so that 404 comes before 422.
async fn found(call: &Call) -> Result<Episode, ApiError> {
    let id = call.id(WHAT)?;
    let episode = episodes::find(&call.state.store, id).await?;
    episode.ok_or_else(|| ApiError::not_found(WHAT))
}

async fn save(
    call: &Call,
    seen: Episode,
    edit: impl Fn(&mut Episodic) + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let (episode, entry) = episodes::update(&call.state.store, seen, change(call), edit).await?;
    if let Some(entry) = entry {
        call.state.announce(entry);
    }
    let version = episode.version;
    Answer::ok(episode)
        .message("Episode updated")
        .version(version)
        .respond()
}

fn change(call: &Call) -> Change {
    Change {
        who: call.who.user.clone(),
        origin: call.origin(),
        expected: match IfMatch::of(&call.req) {
            IfMatch::Any => Expected::Any,
            IfMatch::Versions(versions) => Expected::OneOf(versions),
            IfMatch::Absent if call.state.config.require_if_match => Expected::Unstated,
            IfMatch::Absent => Expected::Any,
        },
    }
}

/// All fields, as a creation or a replacement gives them.
fn whole(body: &mut Fields, status: Status) -> Episodic {
    let title = body.text("title", 1, TITLE);
    let number = body.integer("episode_number", 0, NUMBER);
    Episodic {
        title: body.required("title", title),
        episode_number: body.required("episode_number", number),
        season: body.integer("season", 0, SEASON).into_option(),
        description: body.text("description", 0, DESCRIPTION).into_option(),
        air_date: body.date("air_date").into_option(),
        team: body.text("team", 1, TEAM).into_option(),
        status,
        metadata: metadata(body).into_option(),
    }
}

/// What a partial update gives; `None` leaves a field, `Some(None)` clears it.
#[derive(Clone)]
struct Edit {
    title: Option<String>,
    episode_number: Option<i64>,
    season: Option<Option<i64>>,
    description: Option<Option<String>>,
    air_date: Option<Option<chrono::NaiveDate>>,
    team: Option<Option<String>>,
    status: Option<Status>,
    metadata: Option<Option<serde_json::Map<String, serde_json::Value>>>,
}

impl Edit {
    fn read(body: &mut Fields) -> Edit {
        let title = body.text("title", 1, TITLE);
        let number = body.integer("episode_number", 0, NUMBER);
        let status = body.one_of("status");
        Edit {
            title: body.not_null("title", title),
            episode_number: body.not_null("episode_number", number),
            season: body.integer("season", 0, SEASON).into_change(),
            description: body.text("description", 0, DESCRIPTION).into_change(),
            air_date: body.date("air_date").into_change(),
            team: body.text("team", 1, TEAM).into_change(),
            status: body.not_null("status", status),
            metadata: metadata(body).into_change(),
        }
    }

    fn apply(self, fields: &mut Episodic) {
        fn set<T>(field: &mut T, given: Option<T>) {
            if let Some(value) = given {
                *field = value;
            }
        }
        set(&mut fields.title, self.title);
        set(&mut fields.episode_number, self.episode_number);
        set(&mut fields.season, self.season);
        set(&mut fields.description, self.description);
        set(&mut fields.air_date, self.air_date);
        set(&mut fields.team, self.team);
        set(&mut fields.status, self.status);
        set(&mut fields.metadata, self.metadata);
    }
}

fn metadata(body: &mut Fields) -> Given<serde_json::Map<String, serde_json::Value>> {
    let given = body.object("metadata");
    if let Given::Value(object) = &given {
        let size = serde_json::to_vec(object).map_or(usize::MAX, |text| text.len());
        if size > METADATA {
            body.error("metadata", format!("must have at most {METADATA} bytes"));
        }
        if !object.values().all(|value| shallow(value, DEPTH - 1)) {
            body.error("metadata", format!("must be at most {DEPTH} levels deep"));
        }
    }
    given
}

fn shallow(value: &serde_json::Value, depth: usize) -> bool {
    match value {
        serde_json::Value::Array(values) => {
            depth > 0 && values.iter().all(|value| shallow(value, depth - 1))
        }
        serde_json::Value::Object(fields) => {
            depth > 0 && fields.values().all(|value| shallow(value, depth - 1))
        }
        _ => true,
    }
}
