//! The servers of a backup under a permit of their own.

use std::sync::Arc;

use futures::future::BoxFuture;
use vertskommune_core::names::TenantName;
use vertskommune_provider::{Ctx, Export, ExportError, Exports, Permit, ProviderError, Wanted};

/// Gives servers out under our claim on their own system alone. With the second room's claim among its permits, a backup
/// that ends because that room is cut off could not take its snapshot away again.
pub(super) struct Under<'a> {
    pub(super) exports: &'a dyn Exports,
    pub(super) permit: Arc<dyn Permit>,
}

impl Under<'_> {
    fn ctx(&self, ctx: &Ctx) -> Ctx {
        Ctx { permit: self.permit.clone(), ..ctx.clone() }
    }
}

impl Exports for Under<'_> {
    fn export<'a>(
        &'a self,
        wanted: &'a Wanted,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<Box<dyn Export>, ExportError>> {
        let ctx = self.ctx(ctx);
        Box::pin(async move { self.exports.export(wanted, &ctx).await })
    }

    fn tidy<'a>(
        &'a self,
        tenant: &'a TenantName,
        ctx: &'a Ctx,
    ) -> BoxFuture<'a, Result<usize, ProviderError>> {
        let ctx = self.ctx(ctx);
        Box::pin(async move { self.exports.tidy(tenant, &ctx).await })
    }
}
