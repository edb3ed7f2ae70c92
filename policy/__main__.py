"""The policy pack: `pulumi preview --policy-pack policy`, with or without Pulumi's service."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

from policy.rules import RULES, Rule


def _policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        opts = args.opts
        for text in rule.violations(args.resource_type, args.props, protect=bool(opts.protect)):
            report(f"{args.name}: {text}", None)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


PolicyPack(
    "permafrost",
    [_policy(rule) for rule in RULES],
    enforcement_level=EnforcementLevel.MANDATORY,
)
