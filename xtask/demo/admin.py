"""What an operator does once: a project, a service account without a key, and whom to trust.

The settings are one JSON object in the environment variable DEMO. The ids are printed as one.
"""

import json
import os

try:
    from openai import OpenAI
except ImportError:
    from plain import OpenAI

demo = json.loads(os.environ["DEMO"])
client = OpenAI(base_url=demo["waypost"] + "/v1", admin_api_key=demo["admin_key"])
organization = client.admin.organization

project = organization.projects.create(name="demo")
account = organization.projects.service_accounts.create(
    project.id, name="nightly-report", create_service_account_only=True
)
assert account.api_key is None, "the service account must have no key"
provider = organization.workload_identity_providers.create(
    type="oidc", name="cluster", issuer=demo["issuer"], audience=demo["audience"]
)
rule = organization.workload_identity_providers.federation_rules.create(
    provider.id,
    project_id=project.id,
    service_account_id=account.id,
    attribute_matchers={"sub": demo["subject"]},
)
print(
    json.dumps(
        {
            "project": project.id,
            "service_account": account.id,
            "provider": provider.id,
            "rule": rule.id,
        }
    )
)
