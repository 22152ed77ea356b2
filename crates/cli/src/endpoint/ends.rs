//! The two ends of a link, of whatever kinds.

use super::{Access, Endpoint, refuse_same};
use async_trait::async_trait;
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::Ends;

/// A source and a target, opened when the link asks for them.
pub(crate) struct Pair {
    pub(crate) source: Endpoint,
    pub(crate) target: Endpoint,
    source_access: Access,
    target_access: Access,
    env: Env,
}

impl Pair {
    /// The ends of a link that reads and writes; with `once`, nothing is installed in the source.
    pub(crate) fn writing(source: Endpoint, target: Endpoint, once: bool, env: &Env) -> Result<Arc<Self>> {
        let source_access = if once { Access::Read } else { Access::Write };
        Self::new(source, target, [source_access, Access::Create], env)
    }

    /// The ends of a link that only looks.
    pub(crate) fn looking(source: Endpoint, target: Endpoint, env: &Env) -> Result<Arc<Self>> {
        Self::new(source, target, [Access::Read; 2], env)
    }

    fn new(source: Endpoint, target: Endpoint, accesses: [Access; 2], env: &Env) -> Result<Arc<Self>> {
        refuse_same(&source, &target)?;
        let [source_access, target_access] = accesses;
        Ok(Arc::new(Self { source, target, source_access, target_access, env: env.clone() }))
    }
}

#[async_trait]
impl Ends for Pair {
    async fn source(&self) -> Result<Box<dyn Source>> {
        self.source.source(self.source_access, &self.env).await
    }

    async fn target(&self) -> Result<Box<dyn Target>> {
        self.target.target(self.target_access, &self.env).await
    }

    fn source_name(&self) -> String {
        self.source.shown()
    }

    fn target_name(&self) -> String {
        self.target.shown()
    }

    fn source_url(&self) -> String {
        self.source.typed()
    }

    fn target_url(&self) -> String {
        self.target.typed()
    }
}
