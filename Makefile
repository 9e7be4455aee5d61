# One verb for each thing that a person does daily. `make` alone lists them.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=
CARGO ?= cargo

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The ABI's number: the SONAME and the symbol version (libchttpcore.map) carry it.
ABI := 0
TARGET := $(or $(CARGO_TARGET_DIR),target)
BUILD := build
LIB := $(BUILD)/lib
CMAKEDIR := $(LIBDIR)/cmake/chttpcore
ARCHIVE := $(TARGET)/release/libchttpcore.a
SHARED := $(LIB)/libchttpcore.so.$(VERSION)
HEADERS := $(wildcard include/*.h include/*.hpp)
# What `rustc --print native-static-libs` asks for; part of it is empty in glibc 2.34 and later. The unwinder, -lgcc_s, is
# left to the compiler's driver, which knows its other name in a program without shared libraries.
NATIVE_LIBS := -lutil -lrt -lpthread -lm -ldl -lc
HEADER_TOOL := CARGO_TARGET_DIR=$(BUILD)/tools $(CARGO) run --quiet --release --locked --manifest-path tools/header/Cargo.toml --
# The program that prints the library's tables.
TABLES := $(BUILD)/tools/tables

.DELETE_ON_ERROR:
.PHONY: help build demo test soak lint header docs bench fuzz install wheel clean FORCE

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

build: ## the libraries, the header and the pkg-config file, into build/
build: $(LIB)/libchttpcore.so $(LIB)/libchttpcore.a $(LIB)/pkgconfig/chttpcore.pc $(HEADERS:include/%=$(BUILD)/include/%)

demo: ## build, start servers on loopback and talk to them; or fetch URL=https://...
demo: build
	@CC='$(CC)' examples/demo/run.sh $(if $(filter command,$(origin URL)),'$(URL)')

test: ## everything that continuous integration runs
	tests/deps.sh
	@$(MAKE) --no-print-directory build
	@CARGO='$(CARGO)' MAKE='$(MAKE)' tests/all.sh

soak: ## the long run under load (tests/soak.sh)
soak: build
	$(call script,tests/soak.sh)

lint: ## formatters and linters of every language
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path tools/header/Cargo.toml
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --quiet --all-targets -- -D warnings
	$(CARGO) clippy --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET) --bins -- -D warnings
	tests/python.sh lint

header: ## generate include/chttpcore.h from the Rust sources, and the Python package's tables from it
	@mkdir -p include
	$(HEADER_TOOL) . include/chttpcore.h
	python3 tools/python/table.py include/chttpcore.h bindings/python/c_http_core

docs: ## generate docs/options.md and docs/errors.md from the library's tables
docs: $(TABLES)
	$(TABLES) options > docs/options.md
	$(TABLES) errors > docs/errors.md

bench: ## the measurements (bench/run.sh)
bench: build
	$(call script,bench/instructions.sh)
	$(call script,bench/run.sh)

fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	fuzz/run.sh

install: ## into DESTDIR and PREFIX (/usr/local)
install: build
	install -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(CMAKEDIR)' '$(DESTDIR)$(INCLUDEDIR)' \
	    '$(DESTDIR)$(MANDIR)/man3'
	install -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)/'
	ln -sf libchttpcore.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/libchttpcore.so.$(ABI)'
	ln -sf libchttpcore.so.$(ABI) '$(DESTDIR)$(LIBDIR)/libchttpcore.so'
	install -m 644 $(LIB)/libchttpcore.a '$(DESTDIR)$(LIBDIR)/'
	install -m 644 $(HEADERS) '$(DESTDIR)$(INCLUDEDIR)/'
	install -m 644 docs/chttpcore.3 '$(DESTDIR)$(MANDIR)/man3/'
	$(call pkgconfig,$(PREFIX),$(LIBDIR),$(INCLUDEDIR)) > '$(DESTDIR)$(LIBDIR)/pkgconfig/chttpcore.pc'
	for file in chttpcore-config.cmake chttpcore-config-version.cmake; do \
	    $(cmake) cmake/$$file.in > '$(DESTDIR)$(CMAKEDIR)'/$$file || exit 1; done

wheel: ## the Python package with the library in it, for every Python from 3.9 on, into build/
wheel: $(LIB)/libchttpcore.so
	@cd bindings/python && python3 -c 'import build_backend; print("build/" + build_backend.build_wheel("../../build"))'

clean: ## remove everything that was built
	rm -rf $(BUILD)
	$(CARGO) clean

# $(call script,FILE): run it, or say that it is not there.
script = @if test -x $(1); then $(1); else echo '$(1) does not exist yet'; exit 1; fi

# $(call pkgconfig,PREFIX,LIBDIR,INCLUDEDIR): the pkg-config file on standard output.
pkgconfig = sed -e 's|@PREFIX@|$(1)|' -e 's|@LIBDIR@|$(2)|' -e 's|@INCLUDEDIR@|$(3)|' -e 's|@VERSION@|$(VERSION)|' \
    -e 's|@NATIVE_LIBS@|$(NATIVE_LIBS)|' chttpcore.pc.in

# What fills in the files of the CMake package. They find the header by its way from where they stand.
cmake = sed -e "s|@INCLUDE_FROM_CMAKE@|$$(realpath -ms --relative-to='$(CMAKEDIR)' '$(INCLUDEDIR)')|" \
    -e 's|@VERSION@|$(VERSION)|' -e 's|@ABI@|$(ABI)|' -e 's|@NATIVE_LIBS@|$(NATIVE_LIBS)|'

# Cargo decides whether the archive is stale; when it is not, its time stamp stays and nothing below runs.
$(ARCHIVE): FORCE
	@$(CARGO) build --quiet --release --lib

# The shared library is linked from the static one: rustc passes a version script of its own, which GNU ld
# refuses to merge with ours and rust-lld lets win. The debug information stands beside the stripped library,
# where gdb and valgrind look for it.
$(SHARED): $(ARCHIVE) libchttpcore.map
	@mkdir -p $(LIB)/.debug $(BUILD)/obj
	$(CC) -shared -Wl,--whole-archive $(ARCHIVE) -Wl,--no-whole-archive \
	    -Wl,--gc-sections,-z,relro,-z,now,-z,nodelete,--build-id,--version-script=libchttpcore.map \
	    -Wl,-soname,libchttpcore.so.$(ABI) -o $(BUILD)/obj/libchttpcore.so
	objcopy --only-keep-debug $(BUILD)/obj/libchttpcore.so $(LIB)/.debug/libchttpcore.so.debug
	objcopy --strip-unneeded --add-gnu-debuglink=$(LIB)/.debug/libchttpcore.so.debug $(BUILD)/obj/libchttpcore.so $@
	@rm $(BUILD)/obj/libchttpcore.so

$(LIB)/libchttpcore.so: $(SHARED)
	@ln -sf libchttpcore.so.$(VERSION) $(LIB)/libchttpcore.so.$(ABI)
	@ln -sf libchttpcore.so.$(ABI) $@

# One object in which all but chttp_* is local, so that a program can link it beside another Rust library.
# Groups are dissolved because a localized symbol must not name a section that the final link may discard;
# the bitcode that std's objects carry goes because joined bitcode is invalid, and `ar` with LLVM's plugin reads it.
# Unneeded symbols are what the collection of sections left behind: std's weak references to newer glibc
# functions would stay as strong ones.
$(LIB)/libchttpcore.a: $(ARCHIVE) $(SHARED)
	@mkdir -p $(BUILD)/obj
	ld -r --whole-archive --gc-sections --force-group-allocation \
	    $$(nm -D --defined-only $(SHARED) | sed -n 's/.* T \(chttp_[a-z0-9_]*\).*/--undefined=\1/p') \
	    $(ARCHIVE) -o $(BUILD)/obj/chttpcore.o
	objcopy --remove-section=.llvmbc --remove-section=.llvmcmd --wildcard --keep-global-symbol='chttp_*' \
	    $(BUILD)/obj/chttpcore.o
	objcopy --strip-unneeded --wildcard --keep-symbol='chttp_*' $(BUILD)/obj/chttpcore.o
	@rm -f $@
	ar rcs $@ $(BUILD)/obj/chttpcore.o
	@rm $(BUILD)/obj/chttpcore.o

$(TABLES): tools/docs/tables.c $(HEADERS) $(LIB)/libchttpcore.a
	@mkdir -p $(@D)
	@$(CC) -std=c11 -Wall -Wextra -pedantic -Werror -Iinclude $< $(LIB)/libchttpcore.a $(NATIVE_LIBS) -o $@

$(LIB)/pkgconfig/chttpcore.pc: chttpcore.pc.in Cargo.toml Makefile
	@mkdir -p $(@D)
	@$(call pkgconfig,$(CURDIR)/$(BUILD),$(CURDIR)/$(LIB),$(CURDIR)/$(BUILD)/include) > $@

$(BUILD)/include/%: include/%
	@mkdir -p $(@D)
	@cp $< $@
