# The virtual environment, ROS 2 and the built package, as every target below needs them.
SHELL := bash
ENTER := . .ci/environment && . install/local_setup.bash &&

.PHONY: setup build interfaces test coverage demo pictures tables lint clean

# Sets up and builds; does nothing where nothing has changed.
setup:
	@.ci/setup
build: setup

# The same, and the messages of other packages that only tests need.
interfaces:
	@.ci/setup interfaces

# TEST=test/codec runs a part. With a sourced ROS 2 pytest may be the system's: Python is ours.
test: interfaces
	$(ENTER) . build/interfaces/install/local_setup.bash && python "$$(command -v pytest)" $(TEST)

# The same, and which lines of the package ran; coverage/index.html shows them.
coverage: interfaces
	$(ENTER) . build/interfaces/install/local_setup.bash && coverage erase && \
	{ coverage run "$$(command -v pytest)" $(TEST); tests=$$?; \
	coverage combine -q; coverage html -q; coverage report; exit $$tests; }

# VIDEO=file.mp4 shows a video of yours instead of a rendered drive.
demo: build
	$(ENTER) twnet demo $(if $(VIDEO),"$(VIDEO)")

# Makes the pictures of docs/ anew.
pictures: build
	$(ENTER) python docs/pictures.py

# Writes README's tables of parameters and topics anew.
tables: build
	$(ENTER) python docs/table.py

lint: setup
	$(ENTER) ruff check . && ruff format --check . && mypy

clean:
	rm -rf .venv build install log demo coverage .coverage*
