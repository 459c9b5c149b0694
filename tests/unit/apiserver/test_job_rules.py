"""Jobs and CronJobs: what is refused of them, of their changes and of a Job's status, word by word."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.rules.workloads.job_indexes import overlap, read_indexes
from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

JOBS, CRON_JOBS = rules_of("batch", "v1", "jobs"), rules_of("batch", "v1", "cronjobs")
NOT_NEGATIVE = "must be greater than or equal to 0"
INDEXED = {"completionMode": "Indexed", "completions": 5}


def pod(**changes: Any) -> Object:
    return {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}], **changes}


def job(spec: Object | None = None, metadata: Object | None = None, **changes: Any) -> Object:
    made = {"template": {"spec": pod(**changes)}, **(spec or {})}
    return {"metadata": {"name": "j", "uid": "u", **(metadata or {})}, "spec": made}


def failure(**rule: Any) -> Object:
    return {"podFailurePolicy": {"rules": [rule]}}


def success(**rule: Any) -> Object:
    return {**INDEXED, "successPolicy": {"rules": [rule]}}


FAILURE, SUCCESS = "spec.podFailurePolicy.rules[0]", "spec.successPolicy.rules[0]"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (INDEXED, []),
        ({"parallelism": -1, "backoffLimit": -1, "ttlSecondsAfterFinished": -1}, [
            f"spec.parallelism: Invalid value: -1: {NOT_NEGATIVE}",
            f"spec.backoffLimit: Invalid value: -1: {NOT_NEGATIVE}",
            f"spec.ttlSecondsAfterFinished: Invalid value: -1: {NOT_NEGATIVE}"]),
        ({"completionMode": "Indexed", "parallelism": 1}, [
            "spec.completions: Required value: when completion mode is Indexed"]),
        ({"completionMode": "Odd"}, [
            'spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"']),
        ({**INDEXED, "parallelism": 100001}, [
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is"
            " Indexed"]),
        ({"backoffLimitPerIndex": 1, "maxFailedIndexes": 1}, [
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"]),
        ({**INDEXED, "maxFailedIndexes": 6}, [
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"]),
        ({"completionMode": "Indexed", "completions": 200000, "backoffLimitPerIndex": 1, "parallelism": 20000}, [
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above"
            " 100000 and used with backoff limit per index"]),
        ({"managedBy": "x"}, [
            'spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")']),
        ({"managedBy": "a.b/" + "x" * 60}, ["spec.managedBy: Too long: may not be more than 63 bytes"]),
        ({"podReplacementPolicy": "Odd"}, [
            'spec.podReplacementPolicy: Unsupported value: "Odd": supported values: "Failed", "TerminatingOrFailed"']),
        ({**failure(action="Ignore", onExitCodes={"operator": "In", "values": [1]}),
          "podReplacementPolicy": "TerminatingOrFailed"}, [
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"']),
        (failure(action="Count", onExitCodes={"operator": "In", "values": [3, 0, 3], "containerName": "x"}), [
            f'{FAILURE}.onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer'
            " names in the pod template",
            f"{FAILURE}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            f"{FAILURE}.onExitCodes.values[2]: Duplicate value: 3",
            f"{FAILURE}.onExitCodes.values: Invalid value: [3,0,3]: must be ordered"]),
        (failure(action="", onExitCodes={"operator": "", "values": []}, onPodConditions=[{"type": "A", "status": "?"}]),
         [
            f'{FAILURE}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
            f'{FAILURE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
            f"{FAILURE}.onExitCodes.values: Invalid value: []: at least one value is required",
            f'{FAILURE}.onPodConditions[0].status: Unsupported value: "?": supported values: "False", "True",'
            ' "Unknown"',
            f"{FAILURE}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"]),
        (failure(action="Ignore", onPodConditions=[{"type": "DisruptionTarget"}]), []),
        (failure(action="FailIndex"), [
            f'{FAILURE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
            f"{FAILURE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"]),
        ({"successPolicy": {"rules": [{"succeededCount": 1}]}}, [
            'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires'
            " indexed completion mode"]),
        ({**INDEXED, "successPolicy": {"rules": []}}, [
            "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is"
            " specified"]),
        (success(), [f"{SUCCESS}: Required value: at least one of succeededCount or succeededIndexes must be"
                     " specified"]),
        (success(succeededIndexes="0,2-4", succeededCount=5), [
            f"{SUCCESS}.succeededCount: Invalid value: 5: must be less than or equal to 4 (the number of indexes in the"
            " specified succeededIndexes field)"]),
        (success(succeededIndexes="5", succeededCount=6), [
            f'{SUCCESS}.succeededIndexes: Invalid value: "5": error parsing succeededIndexes: too large index: "5"',
            f"{SUCCESS}.succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified"
            " completions)",
            f"{SUCCESS}.succeededCount: Invalid value: 6: must be less than or equal to 0 (the number of indexes in the"
            " specified succeededIndexes field)"]),
    ],
)  # fmt: skip
def test_a_new_job(spec: Object, expected: list[str]) -> None:
    assert on_create(JOBS, job(spec)) == expected


RESTART = "spec.template.spec.restartPolicy: "


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (job(restartPolicy="Always"), [RESTART + 'Required value: valid values: "OnFailure", "Never"']),
        (job(failure(action="Ignore", onExitCodes={"operator": "In", "values": [1]}), restartPolicy="OnFailure"), [
            RESTART + 'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified']),
        (job({"manualSelector": True}), [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"]),
        (job({"template": {"metadata": {"labels": {"job-name": "x"}}, "spec": pod()}}), [
            'spec.template.metadata.labels[job-name]: Invalid value: {"job-name":"x",'
            '"batch.kubernetes.io/job-name":"j","controller-uid":"u","batch.kubernetes.io/controller-uid":"u"}: must be'
            " 'j'"]),
        (job(INDEXED, {"name": "j" * 62}), [
            f'metadata.name: Invalid value: "{"j" * 62}": will not able to create pod with invalid DNS label:'
            f" {'j' * 62}-4"]),
    ],
)  # fmt: skip
def test_a_jobs_pods(made: Object, expected: list[str]) -> None:
    assert on_create(JOBS, made) == expected


FIXED = "field is immutable"


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ({"completions": 2}, {"completions": 1}, [f"spec.completions: Invalid value: 2: {FIXED}"]),
        ({**INDEXED, "completions": 6, "parallelism": 2}, {**INDEXED, "parallelism": 2}, [
            "spec.completions: Invalid value: 6: can only be modified in tandem with spec.parallelism"]),
        ({**INDEXED, "completions": 6, "parallelism": 6}, {**INDEXED, "parallelism": 2}, []),
        ({"suspend": True, "completions": 1, "parallelism": 3, "backoffLimit": 1}, {"completions": 1}, []),
        ({"managedBy": "a.b/c"}, {}, [f'spec.managedBy: Invalid value: "a.b/c": {FIXED}']),
        ({}, failure(action="Ignore", onExitCodes={"operator": "In", "values": [1]}), [
            f"spec.podFailurePolicy: Invalid value: null: {FIXED}"]),
        (success(succeededCount=1), INDEXED, [
            f'spec.successPolicy: Invalid value: {{"Rules":[{{"SucceededIndexes":null,"SucceededCount":1}}]}}: {FIXED}'
        ]),
    ],
)  # fmt: skip
def test_a_changed_job(new: Object, old: Object, expected: list[str]) -> None:
    known = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()}
    made = [job({**known, "template": template, "podReplacementPolicy": "Failed", **spec}) for spec in (new, old)]
    assert on_update(JOBS, made[0], made[1]) == expected


@pytest.mark.parametrize(
    ("change", "is_suspended", "has_run", "is_sound"),
    [
        ({"nodeSelector": {"a": "b"}}, True, False, True),
        ({"nodeSelector": {"a": "b"}}, True, True, False),
        ({"nodeSelector": {"a": "b"}}, False, False, False),
        ({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}, True, True, True),
        ({"containers": [{"name": "c", "image": "other"}]}, True, False, False),
        ({"affinity": {"nodeAffinity": {}}}, True, False, True),
        ({"affinity": {"podAffinity": {}}}, True, False, False),
    ],
)
def test_a_suspended_jobs_pods_may_be_placed_anew(
    change: Object, *, is_suspended: bool, has_run: bool, is_sound: bool
) -> None:
    status = {"status": {"startTime": "2026-01-01T00:00:00Z"}} if has_run else {}
    old = {**job({"suspend": is_suspended}), **status}
    new = {**job({"suspend": is_suspended}, **change), **status}
    fields = [cause.field for cause in JOBS.validate_update(new, old)]
    assert fields == ([] if is_sound else ["spec.template"])


START, END = {"startTime": "2026-01-01T00:00:00Z"}, {"completionTime": "2026-01-01T00:01:00Z"}
DONE = ("SuccessCriteriaMet", "Complete")


def status(*true: str, **values: Any) -> Object:
    return {"conditions": [{"type": kind, "status": "True"} for kind in true], **values}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (status(*DONE, **START, **END, succeeded=1), status(**START), []),
        (status("FailureTarget", "Failed", **START, failed=1), status(**START), []),
        (status("Complete", **START), status(**START), [
            "completionTime: Required value: completionTime is required for Complete jobs",
            "conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true"
            " condition"]),
        (status("Failed", active=1, terminating=1), status(), [
            "conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            "active: Invalid value: 1: active>0 is invalid for finished job",
            "startTime: Required value: startTime is required for finished job",
            "terminating: Invalid value: 1: terminating>0 is invalid for finished job"]),
        (status("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet", **START, **END), status(**START), [
            "conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
            "conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
            "conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
            "conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"]),
        (status(**END), status(), [
            'completionTime: Invalid value: "2026-01-01T00:01:00Z": cannot set completionTime when there is no'
            " Complete=True condition"]),
        (status(**START), status(*DONE, **START, **END, succeeded=1, failed=1), [
            "conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "failed: Invalid value: 0: cannot decrease the failed counter",
            "succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            "conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"]),
        (status(), status(**START), ["startTime: Required value: startTime cannot be removed for unsuspended job"]),
        (status(startTime="2026-01-01T00:02:00Z"), status("Suspended", **START), []),
        (status(ready=2, active=1), status(), ["ready: Invalid value: 2: cannot set more ready pods than active"]),
        (status(active=-1, uncountedTerminatedPods={"succeeded": ["a", ""], "failed": ["a"]}), status(), [
            "active: Invalid value: -1: must be greater than or equal to 0",
            'uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
            'uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
        (status(completedIndexes="0", failedIndexes="0"), status(), [
            'completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion'
            " mode",
            'failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
            'failedIndexes: Invalid value: "0": failedIndexes and completedIndexes overlap at index: 0']),
    ],
)  # fmt: skip
def test_a_jobs_status(new: Object, old: Object, expected: list[str]) -> None:
    made = [{**job({"completions": 1}), "status": each} for each in (new, old)]
    assert lines(JOBS.validate_status(made[0], made[1])) == [f"status.{line}" for line in expected]


def test_what_was_odd_before_keeps_nothing_from_being_written() -> None:
    odd = {**job({"completions": 1}), "status": status("Complete", active=1)}
    assert JOBS.validate_status({**odd, "status": {**odd["status"], "failed": 1}}, odd) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0,2-4", ""),
        ("", ""),
        ("2,1", "non-increasing order, previous: 2, current: 1"),
        ("3-2", "non-increasing order, previous: 3, current: 2"),
        ("x", 'cannot convert string to integer for index: "x"'),
        ("9", 'too large index: "9"'),
        ("1-2-3", 'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts'
                  " separated by '-'"),
    ],
)  # fmt: skip
def test_indexes(text: str, complaint: str) -> None:
    try:
        read_indexes(text, 5)
    except ValueError as error:
        assert str(error) == complaint
    else:
        assert not complaint
    assert overlap("0-3", "2-5", 9) == 2
    assert overlap("0-1,x", "2-5", 9) is None


def cron(spec: Object, name: str = "c") -> Object:
    made = {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": pod()}}}, **spec}
    return {"metadata": {"name": name}, "spec": made}


NO_ZONE = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (cron({}), []),
        (cron({"schedule": ""}), ["spec.schedule: Required value"]),
        (cron({"schedule": "TZ=UTC 0 * * * *"}), [f'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": {NO_ZONE}']),
        (cron({"timeZone": ""}), [
            'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string']),
        (cron({"timeZone": "local"}), [
            'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in'
            " https://www.iana.org/time-zones"]),
        (cron({"concurrencyPolicy": "Odd", "successfulJobsHistoryLimit": -1}), [
            'spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", "Forbid", "Replace"',
            "spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"]),
        (cron({}, "c" * 53), [f'metadata.name: Invalid value: "{"c" * 53}": must be no more than 52 characters']),
        (cron({"jobTemplate": {"spec": {"selector": {}, "manualSelector": True, "template": {"spec": pod()}}}}), [
            "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
            'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"']),
    ],
)  # fmt: skip
def test_a_new_cron_job(made: Object, expected: list[str]) -> None:
    assert on_create(CRON_JOBS, made) == expected


def test_what_a_cron_job_has_it_may_keep() -> None:
    old = cron({"schedule": "TZ=UTC 0 * * * *"}, "c" * 53)
    assert on_update(CRON_JOBS, old, old) == []
    assert on_update(CRON_JOBS, cron({"schedule": "TZ=UTC 1 * * * *", "timeZone": "UTC"}), old) == [
        'spec.schedule: Invalid value: "TZ=UTC 1 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule'
    ]
    assert CRON_JOBS.update_warnings(old, old) == [
        "CRON_TZ or TZ used in spec.schedule is not officially supported, see"
        " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    ]
