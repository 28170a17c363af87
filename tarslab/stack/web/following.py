"""What a service that signs nothing does when Redis is there: take over what orchestration made."""

from tarslab.stack.web.app import recover_audit
from tarslab.stack.web.context import Context


async def follow(context: Context) -> None:
    """Read the snapshot, and replay what waited; StoreDown where there is no key ring yet."""
    await context.snapshots.refresh(context.store, context.now)
    await recover_audit(context)
