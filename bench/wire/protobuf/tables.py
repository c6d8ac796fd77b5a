"""The messages of the serving protocols as tables (`bench.wire.protobuf.schema`), with the numbers of the public .proto
files: TensorFlow, TensorFlow Serving, KServe v2 and gRPC health checking.

Fields that no server or client here has a use for are left out; what comes in them is kept and passed on.
"""

from __future__ import annotations

GOOGLE = """
Any
  1 type_url string
  2 value bytes
Int64Value
  1 value int64
StringValue
  1 value string
BoolValue
  1 value bool
"""

TENSORFLOW_ERROR = """
enum Code
  0 OK
  1 CANCELLED
  2 UNKNOWN
  3 INVALID_ARGUMENT
  4 DEADLINE_EXCEEDED
  5 NOT_FOUND
  6 ALREADY_EXISTS
  7 PERMISSION_DENIED
  8 RESOURCE_EXHAUSTED
  9 FAILED_PRECONDITION
  10 ABORTED
  11 OUT_OF_RANGE
  12 UNIMPLEMENTED
  13 INTERNAL
  14 UNAVAILABLE
  15 DATA_LOSS
  16 UNAUTHENTICATED
"""

#: tensor.proto, tensor_shape.proto, types.proto, feature.proto, example.proto, and of meta_graph.proto and
#: saved_model.proto what tells a signature.
TENSORFLOW = """
enum DataType
  0 DT_INVALID
  1 DT_FLOAT
  2 DT_DOUBLE
  3 DT_INT32
  4 DT_UINT8
  5 DT_INT16
  6 DT_INT8
  7 DT_STRING
  8 DT_COMPLEX64
  9 DT_INT64
  10 DT_BOOL
  11 DT_QINT8
  12 DT_QUINT8
  13 DT_QINT32
  14 DT_BFLOAT16
  15 DT_QINT16
  16 DT_QUINT16
  17 DT_UINT16
  18 DT_COMPLEX128
  19 DT_HALF
  20 DT_RESOURCE
  21 DT_VARIANT
  22 DT_UINT32
  23 DT_UINT64
  24 DT_FLOAT8_E5M2
  25 DT_FLOAT8_E4M3FN
TensorShapeProto
  2 dim TensorShapeProto.Dim*
  3 unknown_rank bool
TensorShapeProto.Dim
  1 size int64
  2 name string
TensorProto
  1 dtype DataType
  2 tensor_shape TensorShapeProto
  3 version_number int32
  4 tensor_content bytes
  5 float_val float*
  6 double_val double*
  7 int_val int32*
  8 string_val bytes*
  9 scomplex_val float*
  10 int64_val int64*
  11 bool_val bool*
  12 dcomplex_val double*
  13 half_val int32*
  16 uint32_val uint32*
  17 uint64_val uint64*
  18 float8_val bytes
BytesList
  1 value bytes*
FloatList
  1 value float*
Int64List
  1 value int64*
Feature
  1 bytes_list BytesList | kind
  2 float_list FloatList | kind
  3 int64_list Int64List | kind
Features
  1 feature map<Feature>
Example
  1 features Features
TensorInfo
  1 name string | encoding
  4 coo_sparse TensorInfo.CooSparse | encoding
  2 dtype DataType
  3 tensor_shape TensorShapeProto
TensorInfo.CooSparse
  1 values_tensor_name string
  2 indices_tensor_name string
  3 dense_shape_tensor_name string
SignatureDef
  1 inputs map<TensorInfo>
  2 outputs map<TensorInfo>
  3 method_name string
  4 defaults map<TensorProto>
MetaGraphDef
  1 meta_info_def MetaGraphDef.MetaInfoDef
  5 signature_def map<SignatureDef>
MetaGraphDef.MetaInfoDef
  4 tags string*
  5 tensorflow_version string
SavedModel
  1 saved_model_schema_version int64
  2 meta_graphs MetaGraphDef*
"""

#: tensorflow_serving/apis, config, util/status.proto, session_bundle_config.proto and monitoring_config.proto.
TENSORFLOW_SERVING = """
ModelSpec
  1 name string
  2 version google.protobuf.Int64Value | version_choice
  4 version_label string | version_choice
  3 signature_name string
PredictRequest
  1 model_spec ModelSpec
  2 inputs map<tensorflow.TensorProto>
  3 output_filter string*
PredictResponse
  2 model_spec ModelSpec
  1 outputs map<tensorflow.TensorProto>
ExampleList
  1 examples tensorflow.Example*
ExampleListWithContext
  1 examples tensorflow.Example*
  2 context tensorflow.Example
Input
  1 example_list ExampleList | kind
  2 example_list_with_context ExampleListWithContext | kind
Class
  1 label string
  2 score float
Classifications
  1 classes Class*
ClassificationResult
  1 classifications Classifications*
ClassificationRequest
  1 model_spec ModelSpec
  2 input Input
ClassificationResponse
  2 model_spec ModelSpec
  1 result ClassificationResult
Regression
  1 value float
RegressionResult
  1 regressions Regression*
RegressionRequest
  1 model_spec ModelSpec
  2 input Input
RegressionResponse
  2 model_spec ModelSpec
  1 result RegressionResult
InferenceTask
  1 model_spec ModelSpec
  2 method_name string
InferenceResult
  1 model_spec ModelSpec
  2 classification_result ClassificationResult | result
  3 regression_result RegressionResult | result
MultiInferenceRequest
  1 tasks InferenceTask*
  2 input Input
MultiInferenceResponse
  1 results InferenceResult*
SignatureDefMap
  1 signature_def map<tensorflow.SignatureDef>
GetModelMetadataRequest
  1 model_spec ModelSpec
  2 metadata_field string*
GetModelMetadataResponse
  1 model_spec ModelSpec
  2 metadata map<google.protobuf.Any>
StatusProto
  1 error_code tensorflow.error.Code
  2 error_message string
GetModelStatusRequest
  1 model_spec ModelSpec
ModelVersionStatus
  1 version int64
  2 state ModelVersionStatus.State
  3 status StatusProto
enum ModelVersionStatus.State
  0 UNKNOWN
  10 START
  20 LOADING
  30 AVAILABLE
  40 UNLOADING
  50 END
GetModelStatusResponse
  1 model_version_status ModelVersionStatus*
FileSystemStoragePathSourceConfig
FileSystemStoragePathSourceConfig.ServableVersionPolicy
  100 latest FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest | policy_choice
  101 all FileSystemStoragePathSourceConfig.ServableVersionPolicy.All | policy_choice
  102 specific FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific | policy_choice
FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest
  1 num_versions uint32
FileSystemStoragePathSourceConfig.ServableVersionPolicy.All
FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific
  1 versions int64*
enum ModelType
  0 MODEL_TYPE_UNSPECIFIED
  1 TENSORFLOW
  2 OTHER
ModelConfig
  1 name string
  2 base_path string
  3 model_type ModelType
  4 model_platform string
  7 model_version_policy FileSystemStoragePathSourceConfig.ServableVersionPolicy
  8 version_labels map<int64>
ModelConfigList
  1 config ModelConfig*
ModelServerConfig
  1 model_config_list ModelConfigList | config
  2 custom_model_config google.protobuf.Any | config
ReloadConfigRequest
  1 config ModelServerConfig
  2 metric_names string*
ReloadConfigResponse
  1 status StatusProto
BatchingParameters
  1 max_batch_size google.protobuf.Int64Value
  2 batch_timeout_micros google.protobuf.Int64Value
  3 max_enqueued_batches google.protobuf.Int64Value
  4 num_batch_threads google.protobuf.Int64Value
  5 thread_pool_name google.protobuf.StringValue
  6 allowed_batch_sizes int64*
  7 pad_variable_length_inputs bool
  8 enable_large_batch_splitting google.protobuf.BoolValue
PrometheusConfig
  1 enable bool
  2 path string
MonitoringConfig
  1 prometheus_config PrometheusConfig
"""

#: KServe v2: grpc_predict_v2.proto, with the parameters that Triton added.
INFERENCE = """
ServerLiveRequest
ServerLiveResponse
  1 live bool
ServerReadyRequest
ServerReadyResponse
  1 ready bool
ModelReadyRequest
  1 name string
  2 version string
ModelReadyResponse
  1 ready bool
ServerMetadataRequest
ServerMetadataResponse
  1 name string
  2 version string
  3 extensions string*
ModelMetadataRequest
  1 name string
  2 version string
ModelMetadataResponse
  1 name string
  2 versions string*
  3 platform string
  4 inputs ModelMetadataResponse.TensorMetadata*
  5 outputs ModelMetadataResponse.TensorMetadata*
ModelMetadataResponse.TensorMetadata
  1 name string
  2 datatype string
  3 shape int64*
InferParameter
  1 bool_param bool | parameter_choice
  2 int64_param int64 | parameter_choice
  3 string_param string | parameter_choice
  4 double_param double | parameter_choice
  5 uint64_param uint64 | parameter_choice
InferTensorContents
  1 bool_contents bool*
  2 int_contents int32*
  3 int64_contents int64*
  4 uint_contents uint32*
  5 uint64_contents uint64*
  6 fp32_contents float*
  7 fp64_contents double*
  8 bytes_contents bytes*
ModelInferRequest
  1 model_name string
  2 model_version string
  3 id string
  4 parameters map<InferParameter>
  5 inputs ModelInferRequest.InferInputTensor*
  6 outputs ModelInferRequest.InferRequestedOutputTensor*
  7 raw_input_contents bytes*
ModelInferRequest.InferInputTensor
  1 name string
  2 datatype string
  3 shape int64*
  4 parameters map<InferParameter>
  5 contents InferTensorContents
ModelInferRequest.InferRequestedOutputTensor
  1 name string
  2 parameters map<InferParameter>
ModelInferResponse
  1 model_name string
  2 model_version string
  3 id string
  4 parameters map<InferParameter>
  5 outputs ModelInferResponse.InferOutputTensor*
  6 raw_output_contents bytes*
ModelInferResponse.InferOutputTensor
  1 name string
  2 datatype string
  3 shape int64*
  4 parameters map<InferParameter>
  5 contents InferTensorContents
"""

GRPC_HEALTH = """
HealthCheckRequest
  1 service string
HealthCheckResponse
  1 status HealthCheckResponse.ServingStatus
enum HealthCheckResponse.ServingStatus
  0 UNKNOWN
  1 SERVING
  2 NOT_SERVING
  3 SERVICE_UNKNOWN
"""
