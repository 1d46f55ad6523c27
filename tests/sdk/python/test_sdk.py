"""The real boto3, unmodified, against a Belay server whose address is in BELAY_ENDPOINT."""

import base64
import json
import os
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

LAMBDA = boto3.client(
    "lambda",
    endpoint_url=os.environ["BELAY_ENDPOINT"],
    region_name="eu-central-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
    config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
)


def invoke(name, event=None, **options):
    payload = {} if event is None else {"Payload": json.dumps(event)}
    return LAMBDA.invoke(FunctionName=name, **payload, **options)


def payload(answer):
    return json.loads(answer["Payload"].read())


class Invoke(unittest.TestCase):
    def test_request_response(self):
        answer = invoke("echo", {"text": "wörld", "n": [1, 2.5, None]})
        self.assertEqual(answer["StatusCode"], 200)
        self.assertEqual(answer["ExecutedVersion"], "2")
        self.assertNotIn("FunctionError", answer)
        result = payload(answer)
        self.assertEqual(result["event"], {"text": "wörld", "n": [1, 2.5, None]})
        self.assertEqual(result["requestId"], answer["ResponseMetadata"]["RequestId"])

    def test_no_payload_is_an_empty_object(self):
        self.assertEqual(payload(invoke("echo"))["event"], {})

    def test_a_large_payload(self):
        text = "x" * 3_000_000
        self.assertEqual(payload(invoke("echo", text))["event"], text)

    def test_client_context(self):
        context = base64.b64encode(b'{"custom":{"a":1}}').decode()
        answer = invoke("echo", {}, ClientContext=context)
        self.assertEqual(payload(answer)["client"], {"custom": {"a": 1}})

    def test_function_error(self):
        answer = invoke("fails", {"order": {"id": 7}})
        self.assertEqual(answer["StatusCode"], 200)
        self.assertEqual(answer["FunctionError"], "Unhandled")
        error = payload(answer)
        self.assertEqual(error["errorType"], "RangeError")
        self.assertEqual(error["errorMessage"], "no price for 7")
        self.assertRegex(error["stackTrace"][0], r"^at price \(app\.js:10:\d+\)$")

    def test_log_tail(self):
        answer = invoke("logs", {"n": 5}, LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        self.assertIn("\tINFO\tevent 5\n", log)
        self.assertIn("\tWARN\tcareful\n", log)
        self.assertIn("REPORT RequestId: " + answer["ResponseMetadata"]["RequestId"], log)

    def test_event(self):
        answer = invoke("logs", {"n": "from python"}, InvocationType="Event")
        self.assertEqual(answer["StatusCode"], 202)
        self.assertEqual(answer["Payload"].read(), b"")

    def test_dry_run(self):
        self.assertEqual(invoke("fails", {}, InvocationType="DryRun")["StatusCode"], 204)

    def test_names_and_qualifiers(self):
        arn = "arn:aws:lambda:eu-central-1:123456789012:function:"
        for name in ["echo", "shop.echo", "123456789012:function:echo", arn + "echo"]:
            self.assertEqual(invoke(name, {})["ExecutedVersion"], "2", name)
        self.assertEqual(invoke("echo", {}, Qualifier="1")["ExecutedVersion"], "1")
        self.assertEqual(invoke("echo", {}, Qualifier="$LATEST")["ExecutedVersion"], "2")
        self.assertEqual(invoke("echo", {}, Qualifier="old")["ExecutedVersion"], "1")
        self.assertEqual(invoke(arn + "echo:old", {})["ExecutedVersion"], "1")
        self.assertEqual(invoke("echo:1", {})["ExecutedVersion"], "1")

    def test_unknown_function(self):
        for name, options in [("nothing", {}), ("echo", {"Qualifier": "99"})]:
            with self.assertRaises(LAMBDA.exceptions.ResourceNotFoundException) as caught:
                invoke(name, {}, **options)
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 404)

    def test_not_json(self):
        with self.assertRaises(LAMBDA.exceptions.InvalidRequestContentException) as caught:
            LAMBDA.invoke(FunctionName="echo", Payload=b"{not json")
        self.assertIn("Could not parse request body", str(caught.exception))

    def test_too_large(self):
        with self.assertRaises(LAMBDA.exceptions.RequestTooLargeException):
            invoke("echo", "x" * 8_000_000)

    def test_too_many_requests(self):
        with self.assertRaises(LAMBDA.exceptions.TooManyRequestsException) as caught:
            invoke("busy", {})
        response = caught.exception.response
        self.assertEqual(response["ResponseMetadata"]["HTTPHeaders"]["retry-after"], "1")

    def test_contradicting_qualifiers(self):
        with self.assertRaises(ClientError) as caught:
            invoke("echo:1", {}, Qualifier="2")
        self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidParameterValueException")


if __name__ == "__main__":
    unittest.main()
