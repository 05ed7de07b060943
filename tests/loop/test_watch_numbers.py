"""What names a descriptor to add_reader and its family, and what does not: numbers out of range, words, truth values."""

import os
import warnings

import pytest

BEYOND = [2**31, 2**40, 2**70, -(2**31) - 1, -(2**70), -1, 2**31 - 1]


@pytest.mark.parametrize("wrong", [-1, "words", None, 1.5, object()])
def test_what_is_no_descriptor_is_refused(same, wrong):
    def scenario(loop):
        ends = []
        for method in (loop.add_reader, loop.add_writer):
            try:
                method(wrong, print)
            except Exception as error:
                ends.append(type(error))
        for method in (loop.remove_reader, loop.remove_writer):
            try:
                ends.append(method(wrong))
            except Exception as error:
                ends.append(type(error))
        return ends

    same(scenario)


class Numbered:
    """Has a number for a descriptor."""

    def __init__(self, number):
        self.number = number

    def fileno(self):
        return self.number


@pytest.mark.parametrize("wrap", [int, Numbered])
@pytest.mark.parametrize("number", BEYOND)
@pytest.mark.parametrize("name", ["reader", "writer"])
def test_a_number_that_no_descriptor_can_have(same, name, number, wrap):
    def scenario(loop):
        found = []
        for function, args in ((f"remove_{name}", []), (f"add_{name}", [int])):
            try:
                answer = getattr(loop, function)(wrap(number), *args)
            except (ValueError, OverflowError, OSError) as error:
                found.append((type(error).__name__, str(error)))
            else:
                found.append(answer)
        return found

    same(scenario)


def test_a_truth_value_for_a_descriptor(same):
    def scenario(loop):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            near, far = os.pipe()
            kept = os.dup(1)
            os.dup2(far, 1)
            try:
                loop.add_writer(True, int)
                loop.remove_writer(1)
            finally:
                os.dup2(kept, 1)
                for each in (near, far, kept):
                    os.close(each)
        return {str(warning.message) for warning in heard}

    same(scenario)
