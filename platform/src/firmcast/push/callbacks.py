"""Where each subscription is called, whom that trusts and how it is signed: a copy in memory of what the store says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from firmcast.applications import use_cases as applications
from firmcast.applications.model import SigningIdentity
from firmcast.db.port import Transaction
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.push.callback_groups import Place
from firmcast.push.envelope import EVERY_PUSHS_HEADERS
from firmcast.push.signing import Signer, SigningKey, parse_secret
from firmcast.push.standing import USUAL, DeliveryPolicy, Standing, SubscriptionState
from firmcast.push.store import standings as standing_store
from firmcast.push.trust import Trust
from firmcast.sealing import Sealer
from firmcast.subscriptions import use_cases as subscriptions
from firmcast.subscriptions.model import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """Everything that the attempts of one subscription have in common."""

    application_id: ApplicationId
    url: str
    trust: Trust
    signer: Signer
    headers: tuple[str, ...] = field(default=(), repr=False)
    """Lines that all its pushes carry, those of every push among them."""

    state: SubscriptionState
    policy: DeliveryPolicy
    generation: int
    """Of the subscription, as this was read."""

    @property
    def place(self) -> Place | None:
        """What it has in common with the others of its group; None while it is not called."""
        if self.state is not SubscriptionState.ACTIVE:
            return None
        return Place(application_id=self.application_id, url=self.url)


async def all_callbacks(tx: Transaction, sealer: Sealer) -> dict[SubscriptionId, Callback]:
    """Return the callbacks of all subscriptions.

    One that outlived its application has none: a call that had proven itself just before may have made it.
    """
    return await _callbacks(tx, await subscriptions.all_subscriptions(tx), sealer)


async def callbacks_of(
    tx: Transaction, subscription_ids: Iterable[SubscriptionId], sealer: Sealer
) -> dict[SubscriptionId, Callback]:
    """Return the callbacks of these subscriptions; those that are no more are absent."""
    found = await subscriptions.by_ids(tx, sorted(subscription_ids))
    return await _callbacks(tx, list(found.values()), sealer)


async def _callbacks(tx: Transaction, found: Sequence[Subscription], sealer: Sealer) -> dict[SubscriptionId, Callback]:
    application_ids = sorted({subscription.application_id for subscription in found})
    identities = await applications.signing_secrets(tx, application_ids, sealer)
    prepared = {application_id: prepare(identity) for application_id, identity in identities.items()}
    standings = await standing_store.of(tx, [subscription.subscription_id for subscription in found])
    return {
        subscription.subscription_id: _callback(
            subscription, standings.get(subscription.subscription_id, USUAL), *prepared[subscription.application_id]
        )
        for subscription in found
        if subscription.application_id in prepared
    }


def _callback(
    subscription: Subscription, standing: Standing, trust: Trust, signer: Signer, headers: tuple[str, ...]
) -> Callback:
    return Callback(
        application_id=subscription.application_id,
        url=subscription.callback_url,
        trust=trust,
        signer=signer,
        headers=(*EVERY_PUSHS_HEADERS, *headers),
        state=standing.state(subscription.generation),
        policy=standing.policy,
        generation=subscription.generation,
    )


def prepare(identity: SigningIdentity) -> tuple[Trust, Signer, tuple[str, ...]]:
    """Return what the attempts to one application have in common, header lines of its own last."""
    trust = Trust(
        authorities=identity.callback_ca.encode(),
        client_certificate=identity.client_certificate.encode(),
        client_key=identity.client_key.encode(),
    )
    keys = [SigningKey(key=parse_secret(known.secret), ends_at=known.ends_at) for known in identity.secrets]
    private_keys = [SigningKey(key=known.seed, ends_at=known.ends_at) for known in identity.keys]
    headers = tuple(f"{name}: {value}" for name, value in identity.headers.items())
    return trust, Signer(keys, private_keys), headers
