"""What has to be ready before anything is compared: coordinators of groups and of transactions, all of them loaded."""

from lib import SETTLING, Scenario

s = Scenario("start", alone=True)
s.prepare("FindCoordinator", 3, {"key": "g", "keyType": 0})
s.prepare("FindCoordinator", 3, {"key": "x", "keyType": 1})
many = [f"start-{number}" for number in range(600)]
s.prepare("DescribeGroups", 4, {"groups": many}, retry=SETTLING)
s.prepare("DescribeTransactions", 0, {"transactionalIds": many}, retry=SETTLING)
s.ask("FindCoordinator", 0, {"key": "g"})
