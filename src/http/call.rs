//! A request as a handler sees it: who calls, from where, for what; and the shape of every answer.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use serde::Serialize;
use uuid::Uuid;

use callboard_actors::model::identity::{Identity, Origin};
use callboard_actors::model::page::{Meta, Page};
use callboard_actors::model::policy::{self, Action};
use callboard_actors::ports::Denied;

use super::State;
use super::context::origin;
use super::query::Query;
use crate::error::ApiError;
use crate::store::By;

/// A call by somebody signed in.
pub struct Call {
    pub state: web::Data<State>,
    pub who: Identity,
    pub req: HttpRequest,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Ready<Result<Call, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let who = req.extensions().get::<Identity>().cloned();
        ready(match (who, State::of(req)) {
            (Some(who), Ok(state)) => Ok(Call {
                state,
                who,
                req: req.clone(),
            }),
            // Only a route outside the scope that checks tokens comes here.
            (None, _) => Err(ApiError::denied(Denied::Missing)),
            (_, Err(error)) => Err(error),
        })
    }
}

impl Call {
    /// Refuses who may not do this.
    pub fn may(&self, action: Action) -> Result<(), ApiError> {
        match policy::may(self.who.role, action) {
            true => Ok(()),
            false => Err(ApiError::forbidden(format!(
                "the role {} or above is needed",
                action.least_role()
            ))),
        }
    }

    /// The `{id}` of the path; one that is none is the address of nothing.
    pub fn id(&self, what: &str) -> Result<Uuid, ApiError> {
        let text = self.req.match_info().get("id").unwrap_or_default();
        // The one spelling that the program gives out.
        Uuid::try_parse(text)
            .ok()
            .filter(|id| text.len() == 36 && !id.is_nil())
            .ok_or_else(|| ApiError::not_found(what))
    }

    pub fn query(&self) -> Query {
        Query::of(&self.req)
    }

    /// For a call that takes no parameters.
    pub fn no_query(&self) -> Result<(), ApiError> {
        self.query().finish()
    }

    pub fn origin(&self) -> Origin {
        origin(&self.req)
    }

    /// Who makes the change, for the Record.
    pub fn by(&self) -> By {
        By::user(self.who.user.clone(), self.origin())
    }
}

/// `{"data": …, "message"?, "meta"?}`
#[derive(Serialize)]
pub struct Answer<T> {
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    version: Option<i64>,
    #[serde(skip)]
    location: Option<String>,
}

impl<T: Serialize> Answer<T> {
    pub fn ok(data: T) -> Answer<T> {
        Answer {
            data,
            message: None,
            meta: None,
            status: StatusCode::OK,
            version: None,
            location: None,
        }
    }

    pub fn created(data: T, location: String) -> Answer<T> {
        Answer {
            status: StatusCode::CREATED,
            location: Some(location),
            ..Answer::ok(data)
        }
    }

    pub fn message(mut self, message: impl Into<String>) -> Answer<T> {
        self.message = Some(message.into());
        self
    }

    /// With the `ETag` of this version.
    pub fn version(mut self, version: i64) -> Answer<T> {
        self.version = Some(version);
        self
    }

    /// As `respond`; but to a request that is repeated with its `Idempotency-Key` the answer is `kept`.
    pub fn respond_once(self, kept: &Answer<T>) -> Result<HttpResponse, ApiError> {
        let kept = serde_json::to_vec(kept).map_err(ApiError::internal)?;
        let mut response = self.respond()?;
        response.extensions_mut().insert(KeptInstead(kept));
        Ok(response)
    }

    pub fn respond(self) -> Result<HttpResponse, ApiError> {
        let body = serde_json::to_vec(&self).map_err(ApiError::internal)?;
        let mut response = HttpResponse::build(self.status)
            .content_type("application/json")
            .body(body);
        let headers = response.headers_mut();
        let tag = self.version.map(super::version::etag);
        for (name, text) in [(header::ETAG, tag), (header::LOCATION, self.location)] {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                headers.insert(name, value);
            }
        }
        Ok(response)
    }
}

/// Travels with an answer that must not be kept as it is: the body that is.
pub struct KeptInstead(pub Vec<u8>);

/// A page of a list.
pub fn list<T: Serialize>(page: Page<T>, limit: u32) -> Result<HttpResponse, ApiError> {
    let meta = Meta {
        limit,
        has_more: page.next_cursor.is_some(),
        next_cursor: page.next_cursor,
    };
    let mut answer = Answer::ok(page.rows);
    answer.meta = Some(meta);
    answer.respond()
}
