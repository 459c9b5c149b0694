"""Which addresses and address families a Service may have, and which of them may change (core/v1 validation)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from apiserver.rules.field_errors import duplicate, invalid_value, not_supported, required
from apiserver.rules.network.addresses import ip_errors, is_ipv6
from machinery.api.errors import Cause
from machinery.api.resource import Object

FAMILIES = ("IPv4", "IPv6")
_ALONE = (["IPv4"], ["IPv6"])
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_IPS, _FAMILIES, _POLICY = "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy"
_KEPT = "may not change once set"


def is_headless(spec: Object) -> bool:
    return spec.get("clusterIPs") == ["None"]


def family_errors(spec: Object, before: Object | None = None) -> list[Cause]:
    """What is wrong with addresses, families and policy by themselves; `before` is the spec that is updated."""
    if spec.get("type") == "ExternalName":
        return []
    ips, families, policy = spec.get("clusterIPs") or [], spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    errors = list(_first_errors(spec.get("clusterIP") or "", ips))
    if families not in _ALONE:
        errors += _family_list_errors(families)
    if policy is not None and policy not in _POLICIES:
        errors.append(not_supported(_POLICY, policy, _POLICIES))
    known = (before or {}).get("clusterIPs") or ()
    wrong = list(_address_errors(ips, known))
    errors += wrong
    if len(ips) > 2:
        errors.append(invalid_value(_IPS, ips, "may only hold up to 2 values"))
    # Families of what is no address can't be told.
    return errors if wrong else [*errors, *_match_errors(ips, families)]


def _family_list_errors(families: list[str]) -> Iterator[Cause]:
    for index, family in enumerate(families):
        if family not in FAMILIES:
            yield not_supported(f"{_FAMILIES}[{index}]", family, FAMILIES)
        if family in families[:index]:
            yield duplicate(f"{_FAMILIES}[{index}]", family)


def _first_errors(address: str, ips: list[str]) -> Iterator[Cause]:
    if address and not ips:
        yield required(_IPS)
    elif address and ips[0] != address:
        yield invalid_value(_IPS, ips, "first value must match `clusterIP`")
    elif ips and not address:
        yield invalid_value(_IPS, ips, "must be empty when `clusterIP` is not specified")


def _address_errors(ips: list[str], known: Collection[str]) -> Iterator[Cause]:
    for index, address in enumerate(ips):
        if index or address != "None":
            yield from ip_errors(address, f"{_IPS}[{index}]", known)
        elif len(ips) > 1:
            yield invalid_value(_IPS, ips, "'None' must be the first and only value")


def _match_errors(ips: list[str], families: list[str]) -> Iterator[Cause]:
    if len(ips) > 1 and len({is_ipv6(address) for address in ips}) < len(ips):
        yield invalid_value(_IPS, ips, "may specify no more than one IP for each IP family")
    for index, (address, family) in enumerate(zip(ips, families, strict=False)):
        if address != "None" and family in FAMILIES and is_ipv6(address) != (family == "IPv6"):
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid_value(f"{_IPS}[{index}]", address, detail)


def change_errors(spec: Object, before: Object) -> Iterator[Cause]:
    """What may not change: the first address and family, and the second without a word in the policy."""
    if spec.get("clusterIPs") == before.get("clusterIPs") and spec.get("ipFamilies") == before.get("ipFamilies"):
        return
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    is_bare, was_bare = is_headless(spec), is_headless(before)
    if not (is_bare and was_bare):
        yield from _address_changes(spec, before)
    if not is_bare and not was_bare:
        yield from _family_changes(spec, before)


def _address_changes(spec: Object, before: Object) -> Iterator[Cause]:
    ips, had = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if len(ips) == len(had):
        for index, (now, then) in enumerate(zip(ips, had, strict=True)):
            if now != then:
                yield invalid_value(f"{_IPS}[{index}]", ips, _KEPT)
        return
    if had and not ips:
        yield invalid_value(f"{_IPS}[0]", ips, "primary clusterIP can not be unset")
    if had and ips and ips[0] != had[0]:
        yield invalid_value(f"{_IPS}[0]", ips, _KEPT)
    if len(had) > len(ips) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        yield invalid_value(_POLICY, spec.get("ipFamilyPolicy"), detail)


def _family_changes(spec: Object, before: Object) -> Iterator[Cause]:
    ips = spec.get("clusterIPs") or []
    families, had = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    if len(families) == len(had):
        for now, then in zip(families, had, strict=True):
            if now != then:
                yield invalid_value(f"{_FAMILIES}[0]", families, _KEPT)
        return
    if len(had) > len(families) and not ips:
        yield invalid_value(f"{_FAMILIES}[0]", families, "primary ipFamily can not be unset")
    if had and families and families[0] != had[0]:
        yield invalid_value(f"{_FAMILIES}[0]", ips, _KEPT)
    if len(had) > len(families) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        yield invalid_value(_POLICY, spec.get("ipFamilyPolicy"), detail)


def settle_families(spec: Object, before: Object | None, available: tuple[str, ...]) -> list[Cause]:
    """Fills in the policy and the families that the cluster has, `available`, the default first; what is wrong else.

    Upstream does so while it gives out addresses, before it holds the Service to the other rules.
    """
    if spec.get("type") == "ExternalName" or _keeps_preference(spec, before):
        return []
    is_free = spec.get("clusterIP") == "None" and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        kept = (before or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = kept or ("RequireDualStack" if is_free else "SingleStack")
    if errors := family_errors(spec, before):
        return errors
    errors = [*(_release(spec, before) if before is not None else ()), *_single_errors(spec)]
    errors += _infer(spec, available)
    if errors:
        return errors
    wants_both = spec["ipFamilyPolicy"] != "SingleStack"
    if not is_free and (errors := list(_cluster_errors(spec, available))):
        return errors
    families = spec["ipFamilies"] = list(spec.get("ipFamilies") or available[:1])
    if wants_both and len(families) == 1 and (is_free or len(available) == len(FAMILIES)):
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    return []


def _keeps_preference(spec: Object, before: Object | None) -> bool:
    """Whether a Service that takes what the cluster has is left as it is: the cluster may have changed since."""
    if before is None or not spec.get("ipFamilyPolicy") == before.get("ipFamilyPolicy") == "PreferDualStack":
        return False
    return all((spec.get(field) or []) == (before.get(field) or []) for field in ("clusterIPs", "ipFamilies"))


def _release(spec: Object, before: Object) -> Iterator[Cause]:
    """The policy alone releases the second address and family; leaving them out without it is an error."""
    for field, said in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, then = spec.get(field) or [], before.get(field) or []
        if spec["ipFamilyPolicy"] == "SingleStack":
            if now == then and len(now) > 1:
                spec[field] = now[:1]
        elif now and len(now) < len(then):
            detail = f"must be 'SingleStack' to release the secondary {said}"
            yield invalid_value(_POLICY, spec["ipFamilyPolicy"], detail)


def _single_errors(spec: Object) -> Iterator[Cause]:
    for field, said in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if spec["ipFamilyPolicy"] == "SingleStack" and len(spec.get(field) or ()) == 2:
            detail = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {said} are specified"
            yield invalid_value(_POLICY, "SingleStack", detail)


def _infer(spec: Object, available: tuple[str, ...]) -> Iterator[Cause]:
    """An address tells its family."""
    ips, families = spec.get("clusterIPs") or [], list(spec.get("ipFamilies") or [])
    for index, address in enumerate(ips[len(families) :], len(families)):
        family = "IPv6" if is_ipv6(address) else "IPv4"
        if address == "None":
            break
        if family not in available:
            yield invalid_value(f"{_IPS}[{index}]", ips, f"{family} is not configured on this cluster")
        else:
            families.append(family)
    if families:
        spec["ipFamilies"] = families


def _cluster_errors(spec: Object, available: tuple[str, ...]) -> Iterator[Cause]:
    if spec["ipFamilyPolicy"] == "RequireDualStack" and len(available) < len(FAMILIES):
        yield invalid_value(_POLICY, "RequireDualStack", "this cluster is not configured for dual-stack services")
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in available:
            yield invalid_value(f"{_FAMILIES}[{index}]", family, "not configured on this cluster")
