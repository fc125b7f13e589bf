# patchgauge. `make help` lists the targets.
MODE ?= release
B    := $(if $(filter release,$(MODE)),build,build/$(MODE))
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
ifeq ($(origin CXX),default)
CXX := $(if $(filter fuzz,$(MODE)),clang++,g++)
endif
# Another processor, behind the same compiler cache, against the libraries that harness/sysroot.sh has unpacked.
ifeq ($(MODE),arm64)
CC  := $(filter %ccache,$(CC)) aarch64-linux-gnu-gcc --sysroot=$(CURDIR)/$(B)/root
CXX := $(filter %ccache,$(CXX)) aarch64-linux-gnu-g++ --sysroot=$(CURDIR)/$(B)/root
endif
# All cores unless -j says otherwise.
ifeq ($(MAKELEVEL)$(filter -j% --jobs%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
MAKEFLAGS += --no-print-directory

WARN  := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion -Wno-overlength-strings
OPT_release := -O2 -g1
OPT_arm64   := $(OPT_release)
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread
OPT_cov     := -O0 -g --coverage
OPT_fuzz    := -O1 -g -DPG_LIBFUZZER -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
    -fno-omit-frame-pointer
OPT := $(OPT_$(MODE))
ifeq ($(OPT),)
$(error MODE=$(MODE) is not one of release debug asan tsan cov fuzz arm64)
endif
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE
ifeq ($(MODE)$(findstring clang,$(CC)),fuzz)
$(error fuzzing requires clang, and CC is $(CC); right would be CC="ccache clang" CXX="ccache clang++", or neither of them)
endif
ALL_CFLAGS   = -std=c17 $(OPT) $(WARN) -ffp-contract=off -fPIC -pthread -MMD -MP $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(OPT) -Wall -Wextra -fPIC -pthread -MMD -MP $(CXXFLAGS)
# Libraries in lib/ beside the program come first, and for libraries of libraries too: what `make bundle` rests on.
RUN_PATH := -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib'
LDLIBS := -lsqlite3 -ljansson -lcrypto -lcurl -larchive -ljpeg -lpng -lz -lzip -lfontconfig -ldl -lm -lstdc++

# Commands are shown in short; V=1 shows them whole.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

# One pattern per room. models/torch/*.cpp is the shim and a shared object of its own; defenses get -O3.
LIB_C   := $(wildcard harness/base/*.c harness/data/*.c harness/plan/*.c harness/target/*.c harness/pipeline/*.c harness/audit/*.c models/*.c models/torch/*.c \
             defenses/*.c attacks/*.c db/*.c plots/*.c)
CMD_C   := $(wildcard harness/cmd/*.c)
LIB_CC  := $(wildcard harness/plan/*.cc)
GEN_C   := $(B)/gen/registry.c
TEST_C  := $(wildcard tests/*/test_*.c)
LIB_O   := $(LIB_C:%.c=$(B)/o/%.o) $(LIB_CC:%.cc=$(B)/o/%.o) $(B)/gen/schema.o $(B)/gen/registry.o $(B)/gen/figures.o
CMD_O   := $(CMD_C:%.c=$(B)/o/%.o) $(B)/gen/commands.o
# Tests stand in the folder of what they test; their names are unique, and programs and ONLY= do without the folder. A test that loads
# libtorch has a comment of its own that says so. Under sanitizers: without those that spend their time there (ALL=1: with them).
vpath test_%.c  $(sort $(dir $(TEST_C)))
vpath bench_%.c tests/bench
vpath faults/%.c tests
test_names = $(patsubst test_%.c,%,$(notdir $(1)))
TORCH_TESTS := $(call test_names,$(shell grep -l '^/\* Loads libtorch' $(TEST_C)))
TESTS_asan  := $(if $(ALL),,$(call test_names,$(shell grep -L '^/\* Loads libtorch\. \*/' $(TEST_C))))
TESTS_tsan  := cache prefetch log merge null queue run store tasks workers
ifneq ($(filter test tests,$(MAKECMDGOALS)),)
ifneq ($(filter-out $(call test_names,$(TEST_C)),$(ONLY)),)
$(error ONLY: no such test: $(filter-out $(call test_names,$(TEST_C)),$(ONLY)); right would be NAME of a tests/*/test_NAME.c)
endif
endif
TESTS   := $(addprefix $(B)/tests/test_,$(or $(ONLY),$(TESTS_$(MODE)),$(call test_names,$(TEST_C))))
tests/test_%.c: ; # dependencies of an earlier build may name the place of a test before it moved
ifneq ($(wildcard tests/test_*.c)$(words $(TEST_C)),$(words $(sort $(notdir $(TEST_C)))))
$(error tests/test_*.c: every test stands in a folder of tests/, and no two have one name)
endif
# One program for each family of faults. The one about memory has the whole program in it, and is built with the sanitizers.
FAULTS  := $(patsubst tests/%.c,$(B)/tests/%,$(filter-out %_memory.c,$(wildcard tests/faults/fault_*.c)))
SHIMS   := $(patsubst tests/%.c,$(B)/tests/%.so,$(wildcard tests/faults/shim_*.c))
MEMORY  := build/asan/tests/faults/fault_memory
FUZZ_C  := $(wildcard tests/fuzz/*.c)
BENCHES := $(patsubst tests/bench/%.c,$(B)/tests/%,$(wildcard tests/bench/*.c))

.PHONY: all help clean FORCE torch deps test-deps demo paper results docs tests test test-all test-torch format test-format test-faults test-valgrind test-arm64 test-slurm test-browser fuzz fuzz-programs bench mutate bundle
.DELETE_ON_ERROR:
all: $(B)/patchgauge $(B)/patchgauge-torch.so ## the program and the libtorch shim (default)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "  %-14s %s\n", $$1, $$2}'

$(B)/patchgauge: $(CMD_O) $(B)/libpatchgauge.a
	$(call say,ld,$@)
	$(Q)$(CC) $(OPT) -pthread -rdynamic $(RUN_PATH) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(B)/libpatchgauge.a: $(LIB_O) $(B)/gen/objects
	$(call say,ar,$@)
	$(Q)rm -f $@; ar rcs $@ $(LIB_O)

$(B)/o/defenses/%.o: OPT += $(if $(filter release arm64,$(MODE)),-O3) -fno-trapping-math
# toml++ 3.3 calls a place unreachable that characters from U+FEB6 to U+FEFE reach; both ways on from there give the right answer.
$(B)/o/harness/plan/toml.o: OPT += $(if $(filter asan fuzz,$(MODE)),-fno-sanitize=unreachable)
$(B)/o/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<
$(B)/o/%.o: %.cc
	@mkdir -p $(@D)
	$(call say,c++,$<)
	$(Q)$(CXX) $(CPPFLAGS) $(ALL_CXXFLAGS) -c -o $@ $<

# Registries: the PG_DEFENSE, PG_ATTACK, PG_MODEL, PG_DATASET and PG_COMMAND lines of the folders become lists, sorted by name. Made every
# time but replaced only when changed, so that a removed file is noticed as well; the list of objects likewise.
if_changed = @mkdir -p $(@D); $(1) > $@.tmp && if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi
$(B)/gen/registry.c: FORCE
	$(call if_changed,sh harness/gather.sh modules)
$(B)/gen/figures.c: FORCE
	$(call if_changed,sh harness/gather.sh figures)
$(B)/gen/commands.c: FORCE
	$(call if_changed,sh harness/gather.sh commands)
$(B)/gen/schema.c: FORCE
	$(call if_changed,sh db/embed.sh)
$(B)/gen/objects: FORCE
	$(call if_changed,echo $(LIB_O) $(CMD_O))
$(B)/gen/%.o: $(B)/gen/%.c
	$(call say,cc,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

comma := ,
# The shim: one exported symbol, built against Debian's libtorch or another one (make torch LIBTORCH=DIR), be it an unpacked libtorch or
# the folder of an installed PyTorch. It is the same in every MODE: libtorch itself has no sanitizers. Libraries whose std::string is
# that of before C++11, as in PyTorch's packages up to 2.5, have no name with "cxx11" in them.
TORCH_DIR := $(abspath $(LIBTORCH))
ifneq ($(TORCH_DIR),)
ifeq ($(wildcard $(TORCH_DIR)/include/ATen/ATen.h),)
$(error LIBTORCH=$(LIBTORCH) is no libtorch with its headers, nor what python3 -c 'import torch; print(torch.__path__[0])' prints)
endif
TORCH_INC := -I$(TORCH_DIR)/include -I$(TORCH_DIR)/include/torch/csrc/api/include -D_GLIBCXX_USE_CXX11_ABI=$(shell \
    grep -q cxx11 $(TORCH_DIR)/lib/libc10.so && echo 1 || echo 0)
else
TORCH_INC := -I/usr/include/torch/csrc/api/include
endif
TORCH_LIB := $(if $(TORCH_DIR),-L$(TORCH_DIR)/lib -Wl$(comma)-rpath$(comma)$(TORCH_DIR)/lib) -Wl$(comma)--no-as-needed -ltorch -ltorch_cpu -lc10 $(if $(wildcard $(TORCH_DIR)/lib/libc10_cuda.so),-ltorch_cuda -lc10_cuda)
TORCH_O := $(patsubst %.cpp,build/o/%.o,$(wildcard models/torch/*.cpp))
build/gen/torch-flags: FORCE
	$(call if_changed,echo $(CXX) $(TORCH_INC) $(TORCH_LIB) $(TORCH_CXXFLAGS))
build/o/models/torch/%.o: models/torch/%.cpp build/gen/torch-flags
	@mkdir -p $(@D)
	$(call say,c++,$<)
	$(Q)$(CXX) -I. -std=c++17 -O2 -fPIC -fvisibility=hidden -MMD -MP $(TORCH_INC) $(TORCH_CXXFLAGS) -c -o $@ $<
build/o/models/torch/norm_relu6.o: private TORCH_CXXFLAGS += -O3 -fno-trapping-math
build/patchgauge-torch.so: $(TORCH_O)
	$(call say,ld,$@)
	$(Q)$(CXX) -shared $(RUN_PATH) -o $@ $(TORCH_O) $(TORCH_LIB) $(LDFLAGS)
ifneq ($(B),build)
$(B)/patchgauge-torch.so: build/patchgauge-torch.so
	@mkdir -p $(@D)
	@ln -f $< $@
endif
torch: $(B)/patchgauge-torch.so ## the libtorch shim alone (LIBTORCH=DIR for another libtorch)

clean: ## remove what was built (not build/data)
	rm -rf build/o build/gen build/tests build/asan build/tsan build/cov build/debug build/fuzz build/arm64 build/demo build/bundle build/patchgauge \
	    build/*.so build/*.a

# Packages (names of Debian 12 and 13) and probes stand in harness/deps.sh; nothing is installed when everything is found.
deps: ## what the build needs: checked, and installed with apt where missing
	@LIBTORCH=$(LIBTORCH) sh harness/deps.sh build
test-deps: ## the same with what the tests need
	@LIBTORCH=$(LIBTORCH) sh harness/deps.sh build test

demo: deps ## a small matrix on the built-in synthetic data: table and figure in build/demo
	@$(MAKE) all
	@sh experiments/demo.sh $(B)/patchgauge

# The database of the publication's tables, ours beside theirs.
PAPER_DB ?= build/paper.db
paper: all ## run what is missing of experiments/{paper,pretrained,ablations,audits} (hours), then `make results`
	@sh harness/deps.sh results
	sh experiments/paper.sh run $(B)/patchgauge $(PAPER_DB)
	@$(MAKE) results
results: all ## experiments/RESULTS.md and models/ZOO.md, from the database of `make paper`
	@sh harness/deps.sh results
	sh experiments/paper.sh write $(B)/patchgauge $(PAPER_DB)
	sh models/zoo.sh $(B)/patchgauge $(PAPER_DB)

docs: $(B)/patchgauge ## defenses/README.md, attacks/README.md and models/README.md, from the tables of options
	$(Q)for k in defenses attacks models; do $(B)/patchgauge help $$k >$(B)/$$k.md && cp $(B)/$$k.md $$k/README.md || exit 1; done

# Tests: one cmocka program per file, linked with the library. Sanitized ones end at the first report, have more time, and get NULL
# for memory that is not there, as without sanitizers.
SANITIZED := $(if $(filter asan tsan,$(MODE)),PG_TEST_LIMIT=900 ASAN_OPTIONS=allocator_may_return_null=1 \
    TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1:suppressions=$(CURDIR)/tests/tsan-suppressions)
$(B)/tests/test_fuzz: $(FUZZ_C:%.c=$(B)/o/%.o)
$(B)/tests/test_help: $(B)/o/tests/main.o $(filter-out %/cmd/main.o,$(CMD_O))
$(B)/tests/%: %.c $(B)/o/tests/support/isolate.o $(B)/libpatchgauge.a
	@mkdir -p $(@D)
	$(call say,cc,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MF $@.d -MT $@ -o $@ $< $(filter %.o,$^) $(B)/libpatchgauge.a -lcmocka $(LDFLAGS) $(LDLIBS)
$(B)/tests/faults/%.so: tests/faults/%.c
	@mkdir -p $(@D)
	$(call say,cc,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MF $@.d -MT $@ -shared -o $@ $<
$(B)/o/tests/main.o: harness/cmd/main.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Dmain=pg_main $(ALL_CFLAGS) -c -o $@ $<
$(B)/tests/faults/fault_memory: tests/faults/fault_memory.c $(B)/o/tests/support/isolate.o $(B)/o/tests/main.o $(CMD_O) $(B)/libpatchgauge.a
	@mkdir -p $(@D)
	$(call say,cc,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fno-builtin -MF $@.d -MT $@ -o $@ $(filter-out %/cmd/main.o,$^) -rdynamic -lcmocka $(LDFLAGS) $(LDLIBS)
tests: all $(TESTS) ## build the tests
test: test-deps ## build and run all tests (ONLY="stats table" for some); the last line counts them
	@$(MAKE) tests
	@PATCHGAUGE=$(B)/patchgauge CC="$(CC)" CPPFLAGS="$(CPPFLAGS)" $(SANITIZED) sh tests/run.sh $(B)/tests $(TESTS)
test-all: ## what is too long for every change: all tests under sanitizers, ten minutes of each fuzz target, mutation
	@$(MAKE) test
	@$(MAKE) test MODE=asan ALL=1
	@$(MAKE) test MODE=tsan
	@$(MAKE) test-faults
	@$(MAKE) test-valgrind
	@$(MAKE) test-slurm
	@$(MAKE) test-browser
	@$(MAKE) fuzz FUZZ_SECONDS=600
	@$(MAKE) mutate

format: ## rewrite every C and C++ file as clang-format 14 does with the file in the tree
	@sh harness/deps.sh format
	@sh tests/format.sh write
test-format: ## fail where clang-format 14 would change a file
	@sh harness/deps.sh format
	@sh tests/format.sh check

test-torch: test-deps ## the tests that load libtorch: for other instruction sets, as ONEDNN_MAX_CPU_ISA sets them
	@$(MAKE) test ONLY="$(TORCH_TESTS)"

test-faults: test-deps ## inject faults (kill -9, failing system calls and memory, flipped bytes, ...) and count what they break
	@sh harness/deps.sh fault
	@$(MAKE) all $(FAULTS) $(SHIMS)
	@$(MAKE) MODE=asan $(MEMORY)
	@PATCHGAUGE=$(B)/patchgauge PG_TEST_LIMIT=600 sh tests/run.sh $(B)/tests/faults $(FAULTS) $(MEMORY)

test-valgrind: test-deps ## readers of files over the inputs that are stored for fuzzing, under valgrind (memory that was never set); the last line counts
	@sh harness/deps.sh valgrind
	@$(MAKE) $(B)/tests/test_fuzz
	valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite $(B)/tests/test_fuzz

# Programs of arm64 run under qemu, on the libraries that they were linked with.
ARM64 := qemu-aarch64-static -L $(CURDIR)/build/arm64/root
ARM64_TESTS := $(addprefix build/arm64/tests/test_,vectors certifier certify evidence rules windows rng resize npy)
build/arm64/emulated: Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nexec %s "$$@"\n' '$(ARM64) $(CURDIR)/build/arm64/patchgauge' >$@; chmod +x $@
test-arm64: test-deps ## arm64 without libtorch, under qemu: the vectors, and certificates of the same bytes as this build
	@sh harness/deps.sh arm64
	@sh harness/sysroot.sh arm64 build/arm64/root
	@$(MAKE) $(B)/patchgauge build/arm64/emulated
	@$(MAKE) MODE=arm64 build/arm64/patchgauge $(ARM64_TESTS)
	@PG_TEST_RUNNER="$(ARM64)" PATCHGAUGE=build/arm64/emulated sh tests/run.sh build/arm64/tests $(ARM64_TESTS)
	@python3 tests/processors.py $(B)/patchgauge build/arm64/emulated

test-slurm: deps ## `submit` before a real Slurm of two nodes, started in a scratch folder; the last line counts
	@sh harness/deps.sh slurm
	@$(MAKE) $(B)/patchgauge
	@PATH="$$PATH:/usr/sbin" sh tests/slurm.sh $(B)/patchgauge

test-browser: deps ## the pages of `report` and `gallery` in a headless Chromium; screenshots in build/report; the last line counts
	@sh harness/deps.sh browser
	@$(MAKE) $(B)/patchgauge
	@sh tests/report.sh $(B)/patchgauge build/report

# Fuzzing: clang's libFuzzer with sanitizers, in build/fuzz. tests/fuzz/fuzz.h says what a target is.
$(B)/fuzz/%: $(B)/o/tests/fuzz/%.o $(B)/libpatchgauge.a
	@mkdir -p $(@D)
	$(call say,ld,$@)
	$(Q)$(CXX) -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ -lcmocka $(LDFLAGS) $(LDLIBS)
FUZZ_NAMES := $(or $(ONLY),$(FUZZ_C:tests/fuzz/%.c=%))
fuzz-programs: $(FUZZ_NAMES:%=$(B)/fuzz/%)
fuzz: ## every fuzz target for a minute (FUZZ_SECONDS=60) with clang; the last line counts (ONLY="npy matrix" for some)
	@sh harness/deps.sh build test fuzz
	@$(MAKE) MODE=fuzz fuzz-programs
	@sh tests/fuzz.sh build/fuzz $(FUZZ_NAMES:%=build/fuzz/fuzz/%)

bench: test-deps ## speed of the certifiers, of the forward pass, of PatchCleanser beside its published loop, of steps of attacks, and of lists of a large store
	@$(MAKE) all $(BENCHES)
	@for b in $(BENCHES); do echo "== $$b"; $$b || exit 1; done

mutate: test-deps ## mutate defenses/*.c (but surrogate.c) mechanically and count what the tests kill
	@$(MAKE) torch
	@sh tests/mutate.sh

# Where installed files go: $(DESTDIR)$(PREFIX). The program finds the shim in ../lib/patchgauge.
PREFIX ?= /usr/local
.PHONY: install deb
install: all ## program, shim, weights, man page and completion into $(DESTDIR)$(PREFIX), /usr/local by default
	$(Q)install -D $(B)/patchgauge "$(DESTDIR)$(PREFIX)/bin/patchgauge"
	$(Q)install -D $(B)/patchgauge-torch.so "$(DESTDIR)$(PREFIX)/lib/patchgauge/patchgauge-torch.so"
	$(Q)install -d "$(DESTDIR)$(PREFIX)/share/man/man1" "$(DESTDIR)$(PREFIX)/share/bash-completion/completions"
	$(Q)$(B)/patchgauge help man >"$(DESTDIR)$(PREFIX)/share/man/man1/patchgauge.1"
	$(Q)$(B)/patchgauge help completion >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/patchgauge"
	$(Q)for h in harness/base/*.h harness/data/*.h harness/plan/plugin.h defenses/*.h attacks/*.h models/*.h models/torch/*.h; do \
	    install -D -m 644 $$h "$(DESTDIR)$(PREFIX)/include/patchgauge/$$h" || exit 1; done
	$(Q)install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/patchgauge/zoo" models/zoo/*.safetensors models/zoo/*.safetensors.locality
	$(Q)install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/doc/patchgauge" README.md harness/MANUAL.md ARCHITECTURE.md CITATION.cff LICENSE
deb: all ## a Debian package in build/
	@sh harness/deb.sh $(B)

bundle: all ## program, shim and libraries in build/bundle, to run on another machine
	@sh harness/bundle.sh $(B)

-include $(FUZZ_C:%.c=$(B)/o/%.d) $(LIB_O:.o=.d) $(CMD_O:.o=.d) $(TORCH_O:.o=.d) $(TESTS:=.d) $(FAULTS:=.d) $(BENCHES:=.d)
