# make demo    set up from nothing, then ten episodes in simulation: table, report and video
# make test    set up from nothing, then every test
SHELL := /bin/bash
.DEFAULT_GOAL := help

EPISODES ?= 10
SEED ?= 0
PYTEST ?= python -m pytest
IN_ENV := . ./activate &&

.PHONY: help setup setup-tests setup-isaaclab build demo test test-unit test-system test-engines test-isaaclab faults lint format figures docker-lint clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## environment and workspace, only what is missing (EXTRAS="drivers perception")
	@EXTRAS="$(EXTRAS)" scripts/setup.sh

build: setup  ## colcon build of the whole workspace
	@scripts/build.sh

demo: setup  ## the stack in simulation: EPISODES=10 SEED=0
	@$(IN_ENV) ros2 launch rfs_bringup deploy.launch.py episodes:=$(EPISODES) seed:=$(SEED) record_video:=true

test: setup-tests test-unit test-system  ## every test

# The drivers are tested with the vendors' own client libraries, against emulated devices.
setup-tests:
	@EXTRAS="drivers perception $(EXTRAS)" scripts/setup.sh

test-unit: setup-tests  ## tests of the packages
	@$(IN_ENV) $(PYTEST) src tools

test-system: setup-tests  ## tests that start the real nodes
	@$(IN_ENV) $(PYTEST) test

faults: setup-tests  ## every fault, long form (about an hour): test/fault/results.json and the tables in the docs
	@$(IN_ENV) RFS_LONG=1 RFS_FAULT_RESULTS=test/fault/results.json $(PYTEST) --timeout=3600 test/fault
	@$(IN_ENV) python scripts/fault_table.py

setup-isaaclab:  ## Isaac Lab 3 in .venv-isaaclab (Python 3.12), apart from ROS
	@scripts/setup_isaaclab.sh

test-engines:  ## engine mjwarp beside MuJoCo, on the CPU (minutes; not part of make test)
	@EXTRAS="mjwarp $(EXTRAS)" scripts/setup.sh
	@$(IN_ENV) RFS_ENGINES=1 $(PYTEST) --timeout=1200 src/rfs_sim/test/test_mjwarp_engine.py

test-isaaclab: setup-isaaclab  ## the tasks in Isaac Lab (some minutes; not part of make test)
	@env -u PYTHONPATH .venv-isaaclab/bin/python -m pytest test/isaaclab

lint: setup docker-lint  ## ruff, mypy, import direction, docker files
	@$(IN_ENV) ruff check . && ruff format --check .
	@$(IN_ENV) mypy src/rfs_core/rfs_core && mypy src/rfs_learning/rfs_learning
	@$(IN_ENV) python scripts/config_tables.py --check
	@$(IN_ENV) python scripts/fault_table.py --check && python scripts/sros2_policy.py --check
	@$(IN_ENV) scripts/emulated_camera_calibration.py --check
	@$(IN_ENV) $(PYTEST) -q test/test_import_direction.py

figures: setup  ## print README's figures again (half an hour)
	@$(IN_ENV) ros2 run rfs_sim benchmark_env
	@$(IN_ENV) ros2 run rfs_learning benchmark_policy --checkpoint checkpoints/grasp_base.safetensors
	@$(IN_ENV) ros2 run rfs_learning evaluate --checkpoint checkpoints/grasp_base.safetensors \
		--task grasp --episodes 1024 --seed 1000
	@$(IN_ENV) ros2 run rfs_learning evaluate --checkpoint checkpoints/grasp_base.safetensors \
		--task grasp --episodes 1024 --seed 1000 --a0 zero
	@$(IN_ENV) scripts/compare_ros_and_evaluate.py --episodes 500

format: setup  ## let ruff mend what it can
	@$(IN_ENV) ruff check --fix . ; ruff format .

docker-lint: setup  ## check Dockerfile and compose file without an engine
	@$(IN_ENV) python docker/lint.py

clean:  ## remove everything that set-up and builds made
	rm -rf .venv .venv-isaaclab .standin .setup build install log
