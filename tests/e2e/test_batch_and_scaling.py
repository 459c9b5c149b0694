"""Jobs, CronJobs, `kubectl top` and autoscalers on a real cluster, as people use them."""

from __future__ import annotations

import json
from functools import partial

import pytest

from machinery.api.resource import Object

from .conftest import Cluster
from .test_walk import older_kubectls, until

pytestmark = pytest.mark.e2e


def pod_spec(*command: str, **container: object) -> Object:
    each = {"name": "c", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent", "command": list(command)}
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{**each, **container}]}


def applied(cluster: Cluster, kind: str, name: str, spec: Object, version: str = "batch/v1") -> None:
    obj = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(obj))


def test_an_indexed_job_counts_each_index_once_though_the_process_restarts(walked: Cluster) -> None:
    spec = pod_spec("sh", "-c", "sleep 1; echo $JOB_COMPLETION_INDEX on $(hostname)")
    job = {"completions": 6, "parallelism": 2, "completionMode": "Indexed", "template": {"spec": spec}}
    applied(walked, "Job", "indexed", job)
    try:
        until(lambda: walked.get("job/indexed")["status"].get("succeeded", 0) >= 2, walked.log)
        walked.cli("restart")
        walked.kubectl("wait", "--for=condition=complete", "job/indexed", "--timeout=120s")
        status = walked.get("job/indexed")["status"]
        assert (status["succeeded"], status["completedIndexes"], status.get("failed", 0)) == (6, "0-5", 0)
        pods = walked.get("pods", "-l", "job-name=indexed")["items"]
        assert not any(pod["metadata"].get("finalizers") for pod in pods)
        said = walked.kubectl("logs", "-l", "job-name=indexed", "--tail=-1")
        assert sorted(said.split("\n"))[-6:] == [f"{index} on indexed-{index}" for index in range(6)]
    finally:
        walked.kubectl("delete", "job/indexed", "--cascade=foreground")


def test_a_job_that_fails_tells_why_and_goes_after_its_time(walked: Cluster) -> None:
    job = {"backoffLimit": 0, "ttlSecondsAfterFinished": 5, "template": {"spec": pod_spec("sh", "-c", "exit 3")}}
    applied(walked, "Job", "fails", job)
    walked.kubectl("wait", "--for=condition=failed", "job/fails", "--timeout=60s")
    assert "BackoffLimitExceeded" in walked.kubectl("describe", "job/fails")
    walked.kubectl("wait", "--for=delete", "job/fails", "--timeout=60s")


def test_a_cron_job_runs_when_the_minute_comes_and_by_hand(walked: Cluster) -> None:
    template = {"spec": {"template": {"spec": pod_spec("date")}}}
    applied(walked, "CronJob", "ticks", {"schedule": "* * * * *", "timeZone": "Asia/Tokyo", "jobTemplate": template})
    try:
        walked.kubectl("create", "job", "by-hand", "--from=cronjob/ticks")
        walked.kubectl("wait", "--for=condition=complete", "job/by-hand", "--timeout=60s")
        walked.kubectl("wait", "--for=jsonpath={.status.lastScheduleTime}", "cronjob/ticks", "--timeout=150s")
        until(lambda: "SawCompletedJob" in walked.kubectl("describe", "cronjob/ticks"), walked.log)
        assert "lastSuccessfulTime" in walked.get("cronjob/ticks")["status"]
    finally:
        walked.kubectl("delete", "cronjob/ticks")


def test_top_tells_what_pods_and_nodes_use_and_an_autoscaler_scales_by_it(walked: Cluster) -> None:
    busy = "while true; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.1; done"
    requests = {"requests": {"cpu": "10m"}, "limits": {"cpu": "100m"}}
    pod = {**pod_spec("sh", "-c", busy, resources=requests), "restartPolicy": "Always"}
    labels = {"app": "busy"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    applied(walked, "Deployment", "busy", spec, "apps/v1")
    try:
        walked.kubectl("rollout", "status", "deployment/busy", "--timeout=60s")
        for program in ("", *older_kubectls()):
            top_pods = partial(walked.kubectl, "top", "pods", program=program, check=False)
            until(lambda top_pods=top_pods: "busy-" in top_pods(), walked.log)  # type: ignore[misc]
            node = walked.kubectl("top", "nodes", program=program).splitlines()[1].split()
            assert int(node[1].removesuffix("m")) > 0
        walked.kubectl("autoscale", "deployment/busy", "--cpu=50%", "--max=2")
        until(lambda: walked.get("hpa/busy")["status"].get("desiredReplicas") == 2, walked.log)
        walked.kubectl("wait", "--for=condition=ScalingActive", "hpa/busy", "--timeout=60s")
        walked.kubectl("rollout", "status", "deployment/busy", "--timeout=60s")
        assert walked.get("deployment/busy")["spec"]["replicas"] == 2
        assert "New size: 2; reason: cpu resource utilization" in walked.kubectl("describe", "hpa/busy")
    finally:
        walked.kubectl("delete", "hpa/busy", "deployment/busy", "--ignore-not-found")
