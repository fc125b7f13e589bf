# patchgauge. `make help` lists the targets.
MODE ?= release
B    := $(if $(filter release,$(MODE)),build,build/$(MODE))
CC   ?= gcc
CXX  ?= g++

WARN  := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wno-sign-conversion
OPT_release := -O2 -g1
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread
OPT_cov     := -O0 -g --coverage
OPT := $(OPT_$(MODE))
ifeq ($(OPT),)
$(error MODE=$(MODE) is not one of release debug asan tsan cov)
endif
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE
ALL_CFLAGS   = -std=c17 $(OPT) $(WARN) -ffp-contract=off -fPIC -pthread -MMD -MP $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(OPT) -Wall -Wextra -fPIC -pthread -MMD -MP $(CXXFLAGS)
LDLIBS := -lsqlite3 -ljansson -lcrypto -lcurl -larchive -ldl -lm -lstdc++

# One pattern per room. models/torch/*.cpp is the shim and a shared object of its own; defenses get -O3.
LIB_C   := $(wildcard harness/base/*.c harness/data/*.c harness/plan/*.c harness/run/*.c models/*.c models/torch/*.c \
             defenses/*.c attacks/*.c db/*.c plots/*.c)
CMD_C   := $(wildcard harness/cmd/*.c)
LIB_CC  := $(wildcard harness/plan/*.cc)
GEN_C   := $(B)/gen/registry.c
TEST_C  := $(wildcard tests/test_*.c)
LIB_O   := $(LIB_C:%.c=$(B)/o/%.o) $(LIB_CC:%.cc=$(B)/o/%.o) $(B)/gen/registry.o
CMD_O   := $(CMD_C:%.c=$(B)/o/%.o) $(B)/gen/commands.o
TESTS   := $(TEST_C:tests/%.c=$(B)/tests/%)

.PHONY: all help clean FORCE
all: $(B)/patchgauge $(B)/patchgauge-torch.so ## the program and the libtorch shim (default)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "  %-14s %s\n", $$1, $$2}'

$(B)/patchgauge: $(CMD_O) $(B)/libpatchgauge.a
	$(CC) $(OPT) -pthread -rdynamic -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(B)/libpatchgauge.a: $(LIB_O)
	@rm -f $@; ar rcs $@ $^

$(B)/o/defenses/%.o: OPT += -O3 -fno-trapping-math
$(B)/o/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<
$(B)/o/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(ALL_CXXFLAGS) -c -o $@ $<

# Registries: the PG_DEFENSE, PG_ATTACK, PG_MODEL and PG_COMMAND lines of the folders become lists, sorted by name.
$(B)/gen/registry.c: harness/gather.sh $(wildcard defenses/*.c attacks/*.c models/*.c)
	@mkdir -p $(@D)
	@sh harness/gather.sh modules > $@.tmp && mv $@.tmp $@
$(B)/gen/commands.c: harness/gather.sh $(wildcard harness/cmd/*.c)
	@mkdir -p $(@D)
	@sh harness/gather.sh commands > $@.tmp && mv $@.tmp $@
$(B)/gen/%.o: $(B)/gen/%.c
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# The shim: one exported symbol, built against Debian's libtorch or another one (make torch LIBTORCH=DIR).
TORCH_INC := $(if $(LIBTORCH),-I$(LIBTORCH)/include -I$(LIBTORCH)/include/torch/csrc/api/include,-I/usr/include/torch/csrc/api/include)
TORCH_LIB := $(if $(LIBTORCH),-L$(LIBTORCH)/lib -Wl$(comma)-rpath$(comma)$(LIBTORCH)/lib) -ltorch_cpu -lc10
comma := ,
TORCH_O := $(patsubst %.cpp,$(B)/o/%.o,$(wildcard models/torch/*.cpp))
$(B)/o/models/torch/%.o: models/torch/%.cpp
	@mkdir -p $(@D)
	$(CXX) -I. -isystem /usr/include -std=c++17 -O2 -fPIC -fvisibility=hidden -MMD -MP $(TORCH_INC) $(TORCH_CXXFLAGS) -c -o $@ $<
$(B)/patchgauge-torch.so: $(TORCH_O)
	$(CXX) -shared -o $@ $^ $(TORCH_LIB)
torch: $(B)/patchgauge-torch.so ## the libtorch shim alone (LIBTORCH=DIR for another libtorch)

clean: ## remove what was built (not build/data)
	rm -rf build/o build/gen build/tests build/asan build/tsan build/cov build/debug build/patchgauge build/*.so build/*.a

$(B)/tests/%: tests/%.c $(B)/libpatchgauge.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $< $(B)/libpatchgauge.a -lcmocka $(LDFLAGS) $(LDLIBS)
tests: all $(TESTS)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
